"""`paumer VERB`: one verb a stage, in the order of the pipeline. Every workflow rule is one call of it.

Stages are imported inside their verbs, so help is instant and planning needs no torch.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from paumer.cli_options import Folder, Manifest, Output, Settings, Threads, on_gpu, read_settings, record, use_threads
from paumer.cli_reporting import ablation, collect, figures, maps, paper, provenance, report, speed, tables, verify
from paumer.cli_using import demo, export, predict, tune
from paumer.system.errors import exit_on_user_error
from paumer.system.locks import die_with_parent, lock, lock_path

app = typer.Typer(
    help="Patch pausing for semantic segmentation: train, evaluate, measure and report, one verb a stage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def doctor() -> None:
    """Check versions, device, threads and disk, and whether torch and torchvision fit together."""
    from paumer.system.doctor import examine

    examine()


@app.command()
def schema(
    output: Output = Path("workflow/schemas/config.schema.json"),
    table: Annotated[Path, typer.Option(help="Markdown table of all keys; strategies.md goes beside it.")] = Path(
        "docs/configuration.md"
    ),
) -> None:
    """Write the JSON schema of the configuration, the table of its keys, and the page of strategies and recipes."""
    from paumer.config.documents import write_schema

    write_schema(output, table)


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
    from paumer.config import Data
    from paumer.data.preparation import obtain, prepare

    if dataset is not None:
        obtain(dataset, output or Path("data", dataset), use_threads(threads))
    else:
        prepare(read_settings(Data, settings), output or Path("results/scenes/data.json"), use_threads(threads))


@app.command()
def colours(data: Manifest, output: Output) -> None:
    """Write the colours of the dataset's classes."""
    from paumer.data.preparation import write_colours

    write_colours(data, output)


@app.command()
def samples(
    data: Manifest, output: Output, split: Annotated[str, typer.Option(help="Split to show.")] = "train"
) -> None:
    """Draw nine samples of the dataset with their labels."""
    from paumer.reporting.figures.samples import draw_samples

    draw_samples(data, split, output)


@app.command()
def bounds(settings: Settings, data: Manifest, output: Output, threads: Threads = None) -> None:
    """Measure what frames every mIoU: the ceiling of the patch size, and a linear classifier on raw patches."""
    from paumer.config.runs import BoundsSettings
    from paumer.evaluation.bounds import bounds

    chosen = read_settings(BoundsSettings, settings)
    use_threads(threads)
    bounds(chosen, data, output)
    record(output, chosen, data)


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
    described = read_settings(TrainSettings, settings)
    if devices > 1:
        from paumer.training.distributed import launch

        named = {"--data": data, "--output": output, "--checkpoint": checkpoint, "--start": start, "--threads": threads}
        arguments = [str(part) for option in named.items() if option[1] is not None for part in option]
        on_gpu(described, devices)
        launch(["train", "--settings", settings, *arguments], devices, described.options.batch)
        return
    on_gpu(described)
    from paumer.training.loop import train

    use_threads(threads)
    train(described, data, output, checkpoint, start)


@app.command()
def evaluate(
    settings: Settings,
    data: Manifest,
    run: Annotated[Path, typer.Option(help="Folder of a trained run.")],
    output: Output,
    threads: Threads = None,
) -> None:
    """Measure the accuracy of a trained network at all its operating points."""
    from paumer.config.runs import EvaluateSettings
    from paumer.models.shipped import WEIGHTS, find_network

    chosen = on_gpu(read_settings(EvaluateSettings, settings))
    from paumer.evaluation.evaluate import evaluate

    use_threads(threads)
    evaluate(chosen, data, run, output)
    record(output, chosen, data, find_network(run) / WEIGHTS)


@app.command()
def semantics(
    settings: Settings,
    data: Manifest,
    run: Annotated[Path, typer.Option(help="Folder of a trained paumer run.")],
    output: Folder,
    threads: Threads = None,
) -> None:
    """Relate what the auxiliary heads are certain of to the ground truth of every patch."""
    from paumer.config.runs import SemanticsSettings
    from paumer.models.shipped import WEIGHTS, find_network

    chosen = on_gpu(read_settings(SemanticsSettings, settings))
    from paumer.evaluation.semantics import semantics

    use_threads(threads)
    semantics(chosen, data, run, output)
    record(output / "composition.csv", chosen, data, find_network(run) / WEIGHTS)


@app.command()
def flops(settings: Settings, data: Manifest, output: Output) -> None:
    """Count multiply-accumulates (GMAC) of every operating point."""
    from paumer.config.runs import CostSettings
    from paumer.measurement.flops import flops

    chosen = read_settings(CostSettings, settings)
    flops(chosen, data, output)
    record(output, chosen, data)


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
    from paumer.config.runs import CostSettings
    from paumer.models.shipped import find_network, read_run

    chosen = on_gpu(read_settings(CostSettings, settings))
    from paumer.measurement.throughput import throughput

    use_threads(threads)
    described = {folder: read_run(folder, backbone=str, recipe=str) for folder in map(find_network, run)}
    folders = {(content["backbone"], content["recipe"]): folder for folder, content in described.items()}
    if quick:
        chosen = chosen.model_copy(update={"throughput": chosen.throughput.quick()})
    with lock(lock_path(output), f"{output}: another process measures this"):
        throughput(chosen, data, folders, output, rounds, machine)


for verb in (collect, tables, ablation, speed, maps, figures, report, paper, provenance, verify, tune, predict, demo):
    app.command()(verb)
app.add_typer(export, name="export")


def main() -> None:
    """Run the command line; mistakes of the user are one line and exit code 1."""
    die_with_parent()
    with exit_on_user_error():
        app()
