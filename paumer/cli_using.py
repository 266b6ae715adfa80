"""The verbs that use a trained network, as people type them. Imports no torch at module level."""

from pathlib import Path
from typing import Annotated

import typer

from paumer.cli_options import Manifest, Threads, read_settings, use_threads


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
    from paumer.tuning.tune import tune

    options = {"speedup": speedup, "max_drop": max_drop, "images_per_second": images_per_second, "split": split}
    options |= {"images": images, "batch": batch, "criterion": criterion, "locations": locations, "device": device}
    measuring = {
        "evaluation": read_settings(Evaluation, evaluation),
        "throughput": Throughput().quick() if quick else Throughput(),
    }
    settings = parse(TuneSettings, options | measuring, "tune")
    use_threads(threads)
    tune(settings, data, run, output)
