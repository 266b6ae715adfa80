"""What it saves to evaluate all operating points of a network in one sweep instead of one by one.

    python benchmarks/sweep.py results/scenes vit_micro_patch8 paumer

Prints the time of both and their ratio, and fails where their confusion matrices differ.
"""

import sys
import time
from pathlib import Path

import click
import torch

from paumer.config.base import parse, read_yaml
from paumer.config.experiment import Experiment
from paumer.config.measuring import sweep_points
from paumer.config.runs import EvaluateSettings
from paumer.data.loading import SegmentationData
from paumer.data.manifest import samples
from paumer.evaluation.evaluate import evaluate_split
from paumer.models.build import load_run
from paumer.strategies.registry import runnable


def main(results: Path, backbone: str, recipe: str, config: Path = Path("config.yaml"), images: int = 64) -> None:
    """Evaluate `images` of the evaluation split both ways."""
    experiment = parse(Experiment, *read_yaml(str(config)))
    settings = EvaluateSettings.of(experiment, backbone, recipe)
    folder = results / "runs" / backbone / recipe / f"seed{experiment.seeds[0]}"
    model, _ = load_run(folder)
    dataset, found = samples(results / "data.json", settings.split)
    data = SegmentationData(dataset, found[:images])
    # Chance would differ between the two ways.
    points = [point for point in sweep_points(settings.sweep) if point.criterion != "random"]
    strategies = [strategy for _, strategy in runnable(model, points, recipe)]

    def seconds(groups: list) -> tuple[float, list]:
        start = time.perf_counter()
        results = [one for group in groups for one in evaluate_split(model, data, group, settings.evaluation)]
        return time.perf_counter() - start, results

    together, swept = seconds([strategies])
    apart, separate = seconds([[strategy] for strategy in strategies])
    for point, one, other in zip(points, swept, separate, strict=True):
        if not torch.equal(one.matrix, other.matrix):
            sys.exit(f"{point}: {int((one.matrix - other.matrix).abs().sum())} pixels differ")
    print(f"{len(strategies)} operating points, {len(data)} images, equal confusion matrices")
    print(f"sweep {together:.1f} s, separate runs {apart:.1f} s, ratio {together / apart:.3f}")


if __name__ == "__main__":
    arguments = [click.Argument(["results"], type=click.Path(path_type=Path))]
    arguments += [click.Argument([name]) for name in ("backbone", "recipe")]
    options = [click.Option(["--config"], default="config.yaml"), click.Option(["--images"], default=64)]
    click.Command(None, callback=main, params=[*arguments, *options])()
