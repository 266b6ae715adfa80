"""`paumer VERB`: one verb per stage, in the order of the pipeline. Every workflow rule calls one of them.

Each verb imports its stage when it runs, so that help and errors in options need no torch.
"""

import json
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from paumer.system.errors import PaumerError, exit_on_user_error
from paumer.system.locks import die_with_parent, hold_gpus, lock, lock_path

if TYPE_CHECKING:
    from paumer.config.base import Section
    from paumer.config.measuring import Evaluation

    S = TypeVar("S", bound=Section)

# Options that several verbs have. Lists default to [], which typer copies.
Settings = Annotated[str, typer.Option(help="YAML file, or YAML text in braces, with this stage's settings.")]
Manifest = Annotated[Path, typer.Option("--data", help="data.json that `paumer data` wrote.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads; all of this process by default.")]
Output = Annotated[Path, typer.Option(help="File to write.")]
Folder = Annotated[Path, typer.Option(help="Folder to write to.")]
RunFolder = Annotated[Path, typer.Option("--run", help="Folder of a trained run.")]
PaumerRun = Annotated[Path, typer.Option("--run", help="Folder of a trained paumer run.")]
Flops = Annotated[Path, typer.Option(help="flops.csv.")]
Times = Annotated[Path, typer.Option("--throughput", help="throughput.csv.")]
Published = Annotated[Path, typer.Option(help="Published figures.")]
Device = Annotated[str, typer.Option(help="auto, cpu or a CUDA device.")]
# Of the verbs that use one network, whose options people type.
Run = Annotated[Path, typer.Argument(help="Folder of a trained run, or one that `paumer export hub` wrote; or demo.")]
RunData = Annotated[
    Path | None, typer.Option("--data", help="data.json of its data; that of its experiment by default.")
]
EvaluationOption = Annotated[
    str | None,
    typer.Option(
        "--evaluation",
        help="How images are seen (windows, short side, scales): an experiment, or its `evaluation`, as YAML file or "
        "text in braces. By default in windows as large as the training crops.",
    ),
]
Schedule = Annotated[str | None, typer.Option(help="Operating point, such as 3:0.4; dense by default.")]
Strategy = Annotated[str, typer.Option(help="What the schedule is of; docs/strategies.md.")]
Criterion = Annotated[str, typer.Option(help="What decides which patches pause; the usual one by default.")]
Speedup = Annotated[
    float | None, typer.Option(help="The most accurate operating point known to be this many times as fast.")
]
SizeOption = Annotated[
    str | None, typer.Option("--size", help="Height and width of the images, 512x1024; the windows' by default.")
]

app = typer.Typer(
    help="Patch pausing for semantic segmentation: train, evaluate, measure and report, one verb a stage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _read(model: "type[S]", text: str) -> "S":
    """Read and check a stage's settings.

    Raises:
        PaumerError: they are no YAML, or not those of the stage.
    """
    from paumer.config.base import parse, read_yaml

    return parse(model, *read_yaml(text))


def _evaluation(text: str | None) -> "Evaluation | None":
    """The evaluation that `--evaluation` names, by itself or as part of an experiment."""
    from paumer.config.base import read_yaml
    from paumer.config.measuring import read_evaluation

    if text is None:
        return None
    content, origin = read_yaml(text)
    return read_evaluation(content.get("evaluation", {}) if "backbones" in content else content, origin)


def _on_gpu(settings: Any, count: int = 1) -> Any:
    """Hold `count` GPUs for this process, if the settings name a device that has them; return the settings."""
    hold_gpus(settings.device, count)  # before torch looks for GPUs
    return settings


def _use_threads(threads: int | None) -> int:
    """Set the number of torch's threads, and keep freed memory for this process; return the number."""
    from paumer.system.machine import keep_freed_memory, set_threads

    keep_freed_memory()
    return set_threads(threads)


def _call(function: str, *arguments: Any, **options: Any) -> Any:
    """Import `module:function` of this package and call it."""
    module, _, name = function.partition(":")
    return getattr(import_module(f"paumer.{module}"), name)(*arguments, **options)


def _measure(function: str, chosen: Any, threads: int | None, paths: Sequence[Path], table: Path) -> None:
    """Run a stage, and record beside its table what it was measured with.

    Args:
        function: of the stage, `module:function`; takes the settings and the paths.
        chosen: settings of the stage.
        threads: processor threads; None: all.
        paths: manifest, folder of the trained run where the stage reads one, output.
        table: what the record belongs to.
    """
    _use_threads(threads)
    _call(function, chosen, *paths)
    manifest, *runs, _ = paths
    weights = [_call("models.weights:find_network", run) / "model.safetensors" for run in runs]
    _call("system.machine:record", table, chosen, manifest, *weights)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        import paumer

        print(paumer.__version__)
        raise typer.Exit


@app.command()
def doctor() -> None:
    """Check versions, device, threads and disk, and whether torch and torchvision fit together."""
    _call("system.doctor:examine")


@app.command()
def schema(
    output: Output = Path("workflow/schemas/config.schema.json"),
    table: Annotated[Path, typer.Option(help="Markdown table of all keys; strategies.md goes beside it.")] = Path(
        "docs/configuration.md"
    ),
) -> None:
    """Write the JSON schema of the configuration, the table of its keys, and the page of strategies and recipes."""
    _call("config.documents:write_schema", output, table)


@app.command()
def data(
    dataset: Annotated[
        str | None, typer.Argument(help="Only fetch this dataset (cityscapes, ade20k, camvid), to the folder --output.")
    ] = None,
    settings: Settings = "{}",
    output: Annotated[
        Path | None,
        typer.Option(help="File to write [results/scenes/data.json]; folder to fetch to [data/DATASET]."),
    ] = None,
    threads: Threads = None,
) -> None:
    """Draw, find or fetch the dataset, check every file, and describe it."""
    from paumer.config.network import Data

    if dataset is not None:
        _call("data.preparation:fetch_dataset", dataset, output or Path("data", dataset), _use_threads(threads))
    else:
        manifest = output or Path("results/scenes/data.json")
        _call("data.preparation:prepare", _read(Data, settings), manifest, _use_threads(threads))


@app.command()
def colours(data: Manifest, output: Output) -> None:
    """Write the colours of the dataset's classes."""
    _call("data.preparation:write_colours", data, output)


@app.command()
def samples(
    data: Manifest, output: Output, split: Annotated[str, typer.Option(help="Split to show.")] = "train"
) -> None:
    """Draw nine samples of the dataset with their labels."""
    _call("reporting.figures.samples:draw_samples", data, split, output)


@app.command()
def bounds(settings: Settings, data: Manifest, output: Output, threads: Threads = None) -> None:
    """Measure what frames every mIoU: the ceiling of the patch size, and a linear classifier on raw patches."""
    from paumer.config.runs import BoundsSettings

    _measure("evaluation.bounds:bounds", _read(BoundsSettings, settings), threads, (data, output), output)


@app.command()
def train(
    settings: Settings,
    data: Manifest,
    output: Folder,
    checkpoint: Annotated[Path, typer.Option(help="Folder of resumable state.")],
    start: Annotated[Path | None, typer.Option(help="Folder of the run to start from.")] = None,
    devices: Annotated[
        int, typer.Option(help="GPUs of this machine to train on together; without a GPU, as many processes.")
    ] = 1,
    threads: Threads = None,
) -> None:
    """Train one network; run again after a kill, it goes on where it stopped."""
    from paumer.config.runs import TrainSettings

    # Read when torch is loaded, below: several processes look for unused parameters on purpose, and torch warns of it.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    chosen = _read(TrainSettings, settings)
    _on_gpu(chosen, devices)
    if devices > 1:
        named = {"--data": data, "--output": output, "--checkpoint": checkpoint, "--start": start, "--threads": threads}
        arguments = [str(part) for option in named.items() if option[1] is not None for part in option]
        arguments = ["train", "--settings", settings, *arguments]
        _call("training.distributed:launch", arguments, devices, chosen.options.batch)
        return
    _use_threads(threads)
    _call("training.loop:train", chosen, data, output, checkpoint, start)


@app.command()
def evaluate(settings: Settings, data: Manifest, run: RunFolder, output: Output, threads: Threads = None) -> None:
    """Measure the accuracy of a trained network at all its operating points."""
    from paumer.config.runs import EvaluateSettings

    chosen = _on_gpu(_read(EvaluateSettings, settings))
    _measure("evaluation.evaluate:evaluate", chosen, threads, (data, run, output), output)


@app.command()
def semantics(settings: Settings, data: Manifest, run: PaumerRun, output: Folder, threads: Threads = None) -> None:
    """Relate what the auxiliary heads are certain of to the ground truth of every patch."""
    from paumer.config.runs import SemanticsSettings

    chosen = _on_gpu(_read(SemanticsSettings, settings))
    _measure("evaluation.semantics:semantics", chosen, threads, (data, run, output), output / "composition.csv")


@app.command()
def robustness(settings: Settings, data: Manifest, run: RunFolder, output: Output, threads: Threads = None) -> None:
    """Measure the accuracy of a trained network on corrupted images."""
    from paumer.config.runs import RobustnessSettings

    chosen = _on_gpu(_read(RobustnessSettings, settings))
    _measure("evaluation.robustness:robustness", chosen, threads, (data, run, output), output)


@app.command()
def flops(settings: Settings, data: Manifest, output: Output) -> None:
    """Count multiply-accumulates (GMAC) of every operating point."""
    from paumer.config.runs import CostSettings

    chosen = _read(CostSettings, settings)
    _call("measurement.flops:flops", chosen, data, output)
    _call("system.machine:record", output, chosen, data)


@app.command()
def throughput(
    settings: Settings,
    data: Manifest,
    output: Output,
    rounds: Annotated[Path, typer.Option(help="File for the times of all rounds.")],
    machine: Annotated[Path, typer.Option(help="File for code revision, versions, device and clock rates.")],
    run: Annotated[list[Path], typer.Option(help="Folder of a trained run, once per backbone and recipe.")] = [],
    quick: Annotated[
        bool, typer.Option("--quick", help="A first look: the first of everything, in few rounds.")
    ] = False,
    threads: Threads = None,
) -> None:
    """Measure images/s of every operating point against dense, interleaved, with intervals."""
    from paumer.config.runs import CostSettings
    from paumer.models.weights import find_network, read_run

    chosen = _on_gpu(_read(CostSettings, settings))
    _use_threads(threads)
    described = {folder: read_run(folder, backbone=str, recipe=str) for folder in map(find_network, run)}
    folders = {(content["backbone"], content["recipe"]): folder for folder, content in described.items()}
    if quick:
        chosen = chosen.model_copy(update={"throughput": chosen.throughput.quick()})
    with lock(lock_path(output), f"{output}: another process measures this"):
        _call("measurement.throughput:throughput", chosen, data, folders, output, rounds, machine)


@app.command()
def collect(
    table: Annotated[list[Path], typer.Argument(help="CSV files with the same columns.")], output: Output
) -> None:
    """Put the rows of several CSV files into one."""
    _call("reporting.tables.write:collect", table, output)


@app.command()
def uncertainty(
    accuracy: Annotated[list[Path], typer.Argument(help="accuracy.csv of every run, confusions.npz beside it.")],
    output: Output,
) -> None:
    """Draw seeds and images anew, for 95% intervals of the drop of every operating point."""
    _call("reporting.uncertainty:uncertainty", accuracy, output)


@app.command()
def tables(
    accuracy: Annotated[Path, typer.Option(help="accuracy.csv of all runs.")],
    flops: Flops,
    throughput: Times,
    bounds: Annotated[Path, typer.Option(help="bounds.csv.")],
    published: Published,
    data: Manifest,
    output: Folder,
    attribution: Annotated[list[Path], typer.Option(help="attribution.csv of `paumer semantics`, once per run.")] = [],
) -> None:
    """Join accuracy, GMAC and images/s into the tables."""
    _call(
        "reporting.tables.write:write_tables",
        [accuracy],
        flops,
        throughput,
        bounds,
        published,
        output,
        manifest=data,
        attribution=attribution,
    )


@app.command()
def ablation(
    accuracy: Annotated[Path, typer.Option(help="accuracy.csv of all recipes.")],
    variant: Annotated[list[Path], typer.Option(help="accuracy.csv of a run of an ablation; once for each.")],
    output: Folder,
) -> None:
    """Compare recipe paumer with its ablations."""
    _call("reporting.tables.ablation:write_ablation", accuracy, variant, output)


@app.command()
def speed(flops: Flops, throughput: Times, output: Folder) -> None:
    """Put images/s in every setting beside GMAC; needs no accuracy."""
    _call("reporting.tables.speed:write_speed", flops, throughput, output)


@app.command()
def maps(settings: Settings, data: Manifest, run: PaumerRun, output: Output, threads: Threads = None) -> None:
    """Draw what pauses where: image, entropy, paused patches, prediction, ground truth; to a .pdf for a paper."""
    from paumer.config.runs import MapsSettings

    chosen = _on_gpu(_read(MapsSettings, settings))
    _use_threads(threads)
    _call("reporting.figures.maps:draw_pause_maps", chosen, data, run, output)


@app.command()
def figures(
    table: Annotated[Path, typer.Option(help="tables/main.csv; without accuracy, tables/speed.csv.")],
    output: Folder,
    accuracy: Annotated[Path | None, typer.Option(help="accuracy.csv of all runs, if there are any.")] = None,
    log: Annotated[list[Path], typer.Option(help="train.csv, once per run.")] = [],
    semantics: Annotated[list[Path], typer.Option(help="Folder of `paumer semantics`, once per run.")] = [],
    paper: Annotated[bool, typer.Option("--paper", help="As pdf, for one and for two columns of a paper.")] = False,
) -> None:
    """Draw the plots of the report, or with --paper those of a paper."""
    if accuracy is None:
        _call("reporting.figures.write:write_speed_figures", table, output, paper=paper)
    else:
        _call("reporting.figures.write:write_figures", table, [accuracy], log, semantics, output, paper=paper)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="results/EXPERIMENT, where all stages before wrote to.")],
    run: Annotated[list[Path], typer.Option(help="run.json, once per run.")] = [],
) -> None:
    """Write the report, one self-contained page, report.html of an experiment."""
    from paumer.system.files import ExperimentFiles

    _call("reporting.page.page:write_report", ExperimentFiles(folder), run)


@app.command()
def paper(
    experiment: Annotated[list[Path], typer.Option(help="Experiment file; once for each of the paper's datasets.")],
    main: Annotated[list[Path], typer.Option(help="Its tables/main.csv, in the same order.")],
    published: Published,
    segmenter: Annotated[Path, typer.Option(help="Segmenter's published settings.")],
    output: Folder,
) -> None:
    """Put experiments on the paper's datasets side by side, beside its claims, and name what had to be chosen."""
    from paumer.config.experiment import Experiment

    if len(experiment) != len(main):
        raise PaumerError(f"paper: {len(experiment)} experiments and {len(main)} main tables; name one table for each")
    experiments = [_read(Experiment, str(path)) for path in experiment]
    _call("reporting.tables.paper:write_paper", experiments, main, published, segmenter, output)


@app.command()
def provenance(file: Annotated[Path, typer.Argument(help="A file of results/EXPERIMENT.")]) -> None:
    """Print as JSON where a file comes from: settings, code, environment, data and seeds of all it rests on."""
    print(json.dumps(_call("reporting.verify:trace", file), indent=2))


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="results/EXPERIMENT.")],
    published: Published = Path("results/reference/published.csv"),
) -> None:
    """Recompute the tables from the raw files; name what differs, and fail if anything does."""
    differences = _call("reporting.verify:verify", folder, published)
    print("\n".join(differences) or f"{folder}: every table follows from the raw files")
    if differences:
        raise PaumerError(
            f"{folder}: {len(differences)} differences, named above; run the stages again that wrote them"
        )


@app.command()
def tune(
    run: Annotated[Path, typer.Argument(help="A network with auxiliary heads: a folder as for predict, or demo.")],
    data: Manifest,
    speedup: Annotated[float | None, typer.Option(help="Budget: this many times as fast as unpaused.")] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="Budget: at most this many points of mIoU below the same network unpaused.")
    ] = None,
    images_per_second: Annotated[float | None, typer.Option(help="Budget: at least this many images/s.")] = None,
    split: Annotated[
        str, typer.Option(help="Split to choose on, whose mIoU is then flattered; train where val is reported.")
    ] = "val",
    images: Annotated[int | None, typer.Option(help="Images of the split to choose on; all by default.")] = None,
    batch: Annotated[int, typer.Option(help="Images per forward pass while speed is measured.")] = 1,
    criterion: Annotated[str, typer.Option(help="What decides which patches pause.")] = "entropy",
    locations: Annotated[int, typer.Option(help="Pause after up to this many blocks.")] = 2,
    scales: Annotated[
        str,
        typer.Option(help="Shares of the image's height and width to search on, as 1,0.9,0.8; the whole by default."),
    ] = "1",
    evaluation: Annotated[
        str, typer.Option(help="As `evaluation` of an experiment (windows, number type), YAML file or text in braces.")
    ] = "{}",
    quick: Annotated[bool, typer.Option("--quick", help="Few and short rounds of timing.")] = False,
    device: Device = "auto",
    threads: Threads = None,
    output: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Choose where and how much to pause for one budget: a speed-up, a drop in mIoU, or images/s."""
    from paumer.config.base import parse
    from paumer.config.measuring import Throughput
    from paumer.deployment.settings import TuneSettings

    options = {"speedup": speedup, "max_drop": max_drop, "images_per_second": images_per_second, "split": split}
    options |= {"images": images, "batch": batch, "criterion": criterion, "locations": locations, "scales": scales}
    measuring: dict[str, Any] = {"device": device, "evaluation": _evaluation(evaluation)}
    measuring |= {"throughput": Throughput().quick()} if quick else {}
    chosen = _on_gpu(parse(TuneSettings, options | measuring, "tune"))
    _use_threads(threads)
    _call("deployment.tuning.tune:tune", chosen, data, run, output)


@app.command()
def predict(
    run: Run,
    images: Annotated[Path, typer.Option("--images", "-i", help="An image, or a folder of images.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")],
    form: Annotated[
        list[str],
        typer.Option(
            "--format", help="overlay (the usual one), ids, or cityscapes (label ids for its server); several times."
        ),
    ] = [],
    pause_maps: Annotated[
        bool, typer.Option("--pause-maps", help="Also draw which patch paused after which block.")
    ] = False,
    schedule: Schedule = None,
    strategy: Strategy = "pause",
    criterion: Criterion = "",
    speedup: Speedup = None,
    compare: Annotated[str, typer.Option(help="Operating points to draw side by side: dense,3:0.4.")] = "",
    data: RunData = None,
    evaluation: EvaluationOption = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Predict images of your own: pictures, class ids, pause maps, comparisons."""
    from paumer.config.base import parse
    from paumer.deployment.settings import PredictSettings

    options = {"formats": form, "pause_maps": pause_maps, "schedule": schedule, "strategy": strategy}
    options |= {"criterion": criterion, "speedup": speedup, "compare": compare, "device": device}
    chosen = _on_gpu(parse(PredictSettings, options, "predict"))
    _use_threads(threads)
    _call("deployment.predict:predict_images", chosen, run, images, output, data, _evaluation(evaluation))


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture to write.")] = Path("demo.png"),
    image: Annotated[
        Path | None, typer.Option("--image", "-i", help="An image of your own; by default scenes are drawn.")
    ] = None,
    schedules: Annotated[
        str, typer.Option(help="Operating points to compare with dense; the picture shows the first.")
    ] = "1:0.4,1:0.2,3:0.4",
    seed: Annotated[int, typer.Option(min=0, help="Of the drawn scenes.")] = 0,
    threads: Threads = None,
) -> None:
    """See within a minute what pausing does, with a small network that comes with the package."""
    _use_threads(threads)
    _call("deployment.demo:demo", output, image, [part.strip() for part in schedules.split(",") if part.strip()], seed)


@app.command()
def export(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="[hub|onnx|torch] RUN",
            help="Folder of a trained run, or one that was exported; or demo. Before it the format, which the ending "
            "of the output says otherwise.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="FILE.onnx, FILE.pt2, or a folder as the Hugging Face hub has them.")
    ],
    schedule: Schedule = None,
    strategy: Strategy = "pause",
    criterion: Criterion = "",
    speedup: Speedup = None,
    size: SizeOption = None,
    data: RunData = None,
    evaluation: EvaluationOption = None,
    half: Annotated[
        bool, typer.Option("--half", help="Of a folder: store weights as float16, half the size; they run as float32.")
    ] = False,
    speeds: Annotated[bool, typer.Option(help="Of a folder: tell measured images/s and speed-ups in the card.")] = True,
    note: Annotated[str, typer.Option(help="Of a folder: how the network was made, for the card; Markdown.")] = "",
) -> None:
    """Write a network for others: a graph at one operating point (.onnx, .pt2), which is checked, or a folder."""
    from paumer.config.base import parse
    from paumer.deployment.settings import ExportSettings

    if len(names) > 2:
        raise PaumerError(f"export: {names[2]!r} is one name too many; name a format, if any, and a run")
    options = {"schedule": schedule, "strategy": strategy, "criterion": criterion, "speedup": speedup, "size": size}
    options |= {"form": names[0] if len(names) > 1 else None, "half": half, "speeds": speeds, "note": note}
    settings = parse(ExportSettings, options, "export")
    _call("deployment.export:export", settings, Path(names[-1]), output, data, _evaluation(evaluation))


def main() -> None:
    """Run the command line; a user's mistake becomes one line and exit code 1."""
    die_with_parent()
    with exit_on_user_error():
        app()
