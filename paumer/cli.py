"""`paumer VERB`: one verb a stage, in the order of the pipeline. Every workflow rule is one call of it.

Stages are imported inside their verbs, so help is instant and planning needs no torch.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from paumer.errors import PaumerError

app = typer.Typer(
    help="Patch pausing for semantic segmentation: train, evaluate, measure and report, one verb a stage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Settings = Annotated[str, typer.Option(help="YAML file, or YAML text in braces, with this stage's settings.")]
Manifest = Annotated[Path, typer.Option("--data", help="data.json that `paumer data` wrote.")]
Threads = Annotated[int | None, typer.Option(help="Processor threads; all of this process by default.")]
Output = Annotated[Path, typer.Option(help="File to write.")]
Folder = Annotated[Path, typer.Option(help="Folder to write to.")]


def _settings(model: Any, text: str) -> Any:
    """Read and check a stage's settings."""
    from paumer.config import parse
    from paumer.files import read_yaml

    return parse(model, *read_yaml(text))


def _on_gpu(settings: Any) -> Any:
    """Give the settings of a stage back, with a GPU of its own for this process if it computes on one."""
    from paumer.gpus import hold_gpus

    hold_gpus(settings.device)
    return settings


def _record(output: Path, settings: Any, inputs: list[Path]) -> None:
    """Write what a table was measured with beside it."""
    from paumer.provenance import record

    record(output, settings, inputs)


def _threads(threads: int | None) -> int:
    from paumer.runtime import keep_freed_memory, set_threads

    keep_freed_memory()
    return set_threads(threads)


@app.command()
def doctor() -> None:
    """Check versions, device, threads and disk, and whether torch and torchvision fit together."""
    from paumer.doctor import examine

    examine()


@app.command()
def schema(
    output: Output = Path("workflow/schemas/config.schema.json"),
    table: Annotated[Path, typer.Option(help="Markdown table of all keys; strategies.md goes beside it.")] = Path(
        "docs/configuration.md"
    ),
) -> None:
    """Write the JSON schema of the configuration, the table of its keys, and the page of strategies and recipes."""
    from paumer.schema import write_schema

    write_schema(output, table)


@app.command()
def data(settings: Settings = "{}", output: Output = Path("results/scenes/data.json"), threads: Threads = None) -> None:
    """Draw or find the dataset, check every file, and describe it."""
    from paumer.config import Data
    from paumer.data.preparation import prepare

    prepare(_settings(Data, settings), output, _threads(threads))


@app.command()
def samples(
    data: Manifest, output: Output, split: Annotated[str, typer.Option(help="Split to show.")] = "train"
) -> None:
    """Draw nine samples of the dataset with their labels."""
    from paumer.reporting.samples import draw_samples

    draw_samples(data, split, output)


@app.command()
def bounds(settings: Settings, data: Manifest, output: Output, threads: Threads = None) -> None:
    """Measure what frames every mIoU: the ceiling of the patch size, and a linear classifier on raw patches."""
    from paumer.evaluation.bounds import bounds
    from paumer.stages import BoundsSettings

    chosen = _settings(BoundsSettings, settings)
    _threads(threads)
    bounds(chosen, data, output)
    _record(output, chosen, [data])


@app.command()
def train(
    settings: Settings,
    data: Manifest,
    output: Folder,
    checkpoint: Annotated[Path, typer.Option(help="Folder of resumable state.")],
    start: Annotated[Path | None, typer.Option(help="Folder of the run to start from.")] = None,
    threads: Threads = None,
) -> None:
    """Train one network; run again after a kill, it goes on where it stopped."""
    from paumer.stages import TrainSettings

    chosen = _on_gpu(_settings(TrainSettings, settings))
    from paumer.training.loop import train

    _threads(threads)
    train(chosen, data, output, checkpoint, start)


@app.command()
def evaluate(
    settings: Settings,
    data: Manifest,
    run: Annotated[Path, typer.Option(help="Folder of a trained run.")],
    output: Output,
    threads: Threads = None,
) -> None:
    """Measure the accuracy of a trained network at all its operating points."""
    from paumer.stages import EvaluateSettings

    chosen = _on_gpu(_settings(EvaluateSettings, settings))
    from paumer.evaluation.sweep import evaluate

    _threads(threads)
    evaluate(chosen, data, run, output)
    _record(output, chosen, [data, run / "model.safetensors"])


@app.command()
def semantics(
    settings: Settings,
    data: Manifest,
    run: Annotated[Path, typer.Option(help="Folder of a trained paumer run.")],
    output: Folder,
    threads: Threads = None,
) -> None:
    """Relate what the auxiliary heads are certain of to the ground truth of every patch."""
    from paumer.stages import SemanticsSettings

    chosen = _on_gpu(_settings(SemanticsSettings, settings))
    from paumer.evaluation.semantics import semantics

    _threads(threads)
    semantics(chosen, data, run, output)


@app.command()
def flops(settings: Settings, data: Manifest, output: Output) -> None:
    """Count multiply-accumulates (GMAC) of every operating point."""
    from paumer.measurement.flops import flops
    from paumer.stages import CostSettings

    chosen = _settings(CostSettings, settings)
    flops(chosen, data, output)
    _record(output, chosen, [data])


@app.command()
def throughput(
    settings: Settings,
    data: Manifest,
    output: Output,
    rounds: Annotated[Path, typer.Option(help="File for the times of all rounds.")],
    machine: Annotated[Path, typer.Option(help="File for code revision, versions, device and clock rates.")],
    run: Annotated[list[Path], typer.Option(help="Folder of a trained run, once per backbone and recipe.")] = [],  # noqa: B006
    quick: Annotated[
        bool, typer.Option("--quick", help="A first look: the first of everything, in few rounds.")
    ] = False,
    threads: Threads = None,
) -> None:
    """Measure images/s of every operating point against dense, interleaved, with intervals."""
    from paumer.files import read_json
    from paumer.stages import CostSettings

    chosen = _on_gpu(_settings(CostSettings, settings))
    from paumer.measurement.throughput import throughput

    _threads(threads)
    described = {folder: read_json(folder / "run.json") for folder in run}
    folders = {(content["backbone"], content["recipe"]): folder for folder, content in described.items()}
    if quick:
        chosen = chosen.model_copy(update={"throughput": chosen.throughput.quick()})
    throughput(chosen, data, folders, output, rounds, machine)


@app.command()
def tune(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run with auxiliary heads.")],
    data: Manifest,
    speedup: Annotated[float | None, typer.Option(help="Budget: so many times as fast as unpaused.")] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="Budget: at most so many points of mIoU below the same network unpaused.")
    ] = None,
    images_per_second: Annotated[float | None, typer.Option(help="Budget: so many images/s.")] = None,
    split: Annotated[
        str, typer.Option(help="Split to choose on, whose mIoU is then flattered; train where val is reported.")
    ] = "val",
    images: Annotated[int | None, typer.Option(help="Images of the split to choose on; all by default.")] = None,
    batch: Annotated[int, typer.Option(help="Images per forward pass while speed is measured.")] = 1,
    criterion: Annotated[str, typer.Option(help="What decides which patches pause.")] = "entropy",
    locations: Annotated[int, typer.Option(help="Pause after up to so many blocks.")] = 2,
    evaluation: Annotated[
        str, typer.Option(help="As `evaluation` of an experiment (windows, number type), YAML file or text in braces.")
    ] = "{}",
    quick: Annotated[bool, typer.Option("--quick", help="Few and short rounds of timing.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or a CUDA device.")] = "auto",
    threads: Threads = None,
    output: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Choose where and how much to pause for one budget: a speed-up, a drop in mIoU, or images/s."""
    from paumer.config import Evaluation, Throughput, parse
    from paumer.stages import TuneSettings

    options = {"speedup": speedup, "max_drop": max_drop, "images_per_second": images_per_second, "split": split}
    options |= {"images": images, "batch": batch, "criterion": criterion, "locations": locations, "device": device}
    measuring = {
        "evaluation": _settings(Evaluation, evaluation),
        "throughput": Throughput().quick() if quick else Throughput(),
    }
    settings = _on_gpu(parse(TuneSettings, options | measuring, "tune"))
    from paumer.tuning.tune import tune

    _threads(threads)
    tune(settings, data, run, output)


@app.command()
def collect(
    table: Annotated[list[Path], typer.Argument(help="CSV files with the same columns.")], output: Output
) -> None:
    """Put the rows of several CSV files into one."""
    from paumer.reporting.tables import collect

    collect(table, output)


@app.command()
def tables(
    accuracy: Annotated[Path, typer.Option(help="accuracy.csv of all runs.")],
    flops: Annotated[Path, typer.Option(help="flops.csv.")],
    throughput: Annotated[Path, typer.Option(help="throughput.csv.")],
    bounds: Annotated[Path, typer.Option(help="bounds.csv.")],
    published: Annotated[Path, typer.Option(help="Published figures.")],
    data: Manifest,
    output: Folder,
) -> None:
    """Join accuracy, GMAC and images/s into the tables."""
    from paumer.reporting.tables import write_tables

    write_tables([accuracy], flops, throughput, bounds, published, output, manifest=data)


@app.command()
def ablation(
    accuracy: Annotated[Path, typer.Option(help="accuracy.csv of all recipes.")],
    variant: Annotated[list[Path], typer.Option(help="accuracy.csv of a run of an ablation; once for each.")],
    output: Folder,
) -> None:
    """Compare recipe paumer with its ablations."""
    from paumer.reporting.ablation import write_ablation

    write_ablation(accuracy, variant, output)


@app.command()
def speed(
    flops: Annotated[Path, typer.Option(help="flops.csv.")],
    throughput: Annotated[Path, typer.Option(help="throughput.csv.")],
    output: Folder,
) -> None:
    """Put images/s in every setting beside GMAC; needs no accuracy."""
    from paumer.reporting.speed_table import write_speed

    write_speed(flops, throughput, output)


@app.command()
def maps(
    settings: Settings,
    data: Manifest,
    run: Annotated[Path, typer.Option(help="Folder of a trained paumer run.")],
    output: Output,
    threads: Threads = None,
) -> None:
    """Draw what pauses where: image, entropy, paused patches, prediction, ground truth."""
    from paumer.stages import MapsSettings

    chosen = _on_gpu(_settings(MapsSettings, settings))
    from paumer.reporting.pause_maps import draw_pause_maps

    _threads(threads)
    draw_pause_maps(chosen, data, run, output)


@app.command()
def figures(
    table: Annotated[Path, typer.Option(help="tables/main.csv; without accuracy, tables/speed.csv.")],
    output: Folder,
    accuracy: Annotated[Path | None, typer.Option(help="accuracy.csv of all runs, if there are any.")] = None,
    log: Annotated[list[Path], typer.Option(help="train.csv, once per run.")] = [],  # noqa: B006
    semantics: Annotated[list[Path], typer.Option(help="Folder of `paumer semantics`, once per run.")] = [],  # noqa: B006
) -> None:
    """Draw the plots."""
    from paumer.reporting.figures import write_figures, write_speed_figures

    if accuracy is None:
        write_speed_figures(table, output)
    else:
        write_figures(table, [accuracy], log, semantics, output)


@app.command()
def report(
    experiment: Annotated[str, typer.Option(help="Name of the experiment.")],
    tables: Annotated[Path, typer.Option(help="Folder of the tables.")],
    figures: Annotated[Path, typer.Option(help="Folder of the figures.")],
    flops: Annotated[Path, typer.Option(help="flops.csv.")],
    throughput: Annotated[Path, typer.Option(help="throughput.csv.")],
    machine: Annotated[Path, typer.Option(help="machine.json of the timings.")],
    data: Manifest,
    output: Output,
    run: Annotated[list[Path], typer.Option(help="run.json, once per run.")] = [],  # noqa: B006
) -> None:
    """Write the report, one self-contained page."""
    from paumer.reporting.page import write_report

    write_report(experiment, tables, figures, flops, throughput, machine, run, data, output)


@app.command()
def provenance(file: Annotated[Path, typer.Argument(help="A file of results/EXPERIMENT.")]) -> None:
    """Print as JSON where a file comes from: settings, code, environment, data and seeds of all it rests on."""
    import json

    from paumer.provenance import trace

    print(json.dumps(trace(file), indent=2))


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="results/EXPERIMENT.")],
    published: Annotated[Path, typer.Option(help="Published figures.")] = Path("results/reference/published.csv"),
) -> None:
    """Recompute the tables from the raw files; name what differs, and fail if anything does."""
    from paumer.reporting.verification import verify

    differences = verify(folder, published)
    print("\n".join(differences) or f"{folder}: every table follows from the raw files")
    if differences:
        raise PaumerError(
            f"{folder}: {len(differences)} differences, named above; run the stages again that wrote them"
        )


def main() -> None:
    """Run the command line; mistakes of the user are one line and exit code 1."""
    try:
        app()
    except PaumerError as error:
        # A loader process hands its error over with a traceback in front; the last line is the error itself.
        line = str(error).strip().splitlines()[-1].removeprefix("paumer.errors.PaumerError: ")
        print(f"paumer: error: {line}", file=sys.stderr)
        sys.exit(1)
