"""What a training step costs with pausing and without, and how long training waits for data.

    python benchmarks/training.py results/scenes/data.json

Times the steps of recipes in turn, in one process, on batches that are loaded beforehand; then one recipe with its own
loading.
"""

import random
import statistics
import tempfile
import time
from pathlib import Path

import click

from paumer.config.base import parse, read_yaml
from paumer.config.experiment import Experiment
from paumer.config.runs import TrainSettings
from paumer.system.files import read_json
from paumer.system.machine import find_device
from paumer.training.distributed import DistributedContext
from paumer.training.loop import Run, train


def main(manifest: Path, config: Path = Path("config.yaml"), steps: int = 30) -> None:
    """Time `steps` steps of each recipe."""
    experiment = parse(Experiment, *read_yaml(str(config)))
    backbone = experiment.main_backbones[0].name
    recipes = [name for name in ("dense", "multi-exit", "paumer") if name in experiment.training.recipes]
    alone = DistributedContext(find_device(experiment.device))
    runs = {name: Run(TrainSettings.of(experiment, backbone, name, 0), manifest, None, alone) for name in recipes}
    batches = [batch for batch, _ in zip(runs["dense"].batches(), range(steps), strict=False)]
    seconds: dict[str, list[float]] = {name: [] for name in recipes}
    for images, labels in [batches[0], *batches]:  # the first one warms up
        for name in random.sample(recipes, len(recipes)):
            start = time.perf_counter()
            runs[name].train_step(images, labels)
            seconds[name].append(time.perf_counter() - start)
    dense = statistics.fmean(seconds["dense"][1:])
    for name, times in seconds.items():
        print(f"{name}: {statistics.fmean(times[1:]):.4f} s a step, {statistics.fmean(times[1:]) / dense:.3f} of dense")
    with tempfile.TemporaryDirectory() as folder:
        few = TrainSettings.of(experiment, backbone, "dense", 0)
        phase = few.phase.model_copy(update={"epochs": steps * few.options.batch / len(runs["dense"].data)})
        train(few.model_copy(update={"phase": phase}), manifest, Path(folder) / "run", Path(folder) / "kept", None)
        waiting = read_json(Path(folder) / "run" / "run.json")["waiting"]
    print(f"waiting for data: {waiting:.1%} of the time of {steps} steps")


if __name__ == "__main__":
    options = [click.Option(["--config"], default="config.yaml"), click.Option(["--steps"], default=30)]
    click.Command(
        None, callback=main, params=[click.Argument(["manifest"], type=click.Path(path_type=Path)), *options]
    )()
