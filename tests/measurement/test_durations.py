"""Expected seconds grow with what makes a stage long, for every experiment in the repository."""

from pathlib import Path
from typing import Any

import pytest

from paumer.config.base import parse, read_yaml
from paumer.config.experiment import Experiment
from paumer.measurement.durations import Durations
from paumer.system.progress import STARTUP

REPOSITORY = Path(__file__).parents[2]
FILES = [REPOSITORY / "config.yaml", *(REPOSITORY / "workflow/experiments").glob("*.yaml")]


def described(path: Path, **changed: Any) -> Durations:
    experiment: Experiment = parse(Experiment, read_yaml(str(path))[0] | changed, path.name)
    return Durations(experiment)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_stage_of_every_experiment_has_a_time(path: Path) -> None:
    stages, one = described(path), described(path).experiment
    name = one.main_backbones[0].name
    recipes = [*one.training.recipes, *(f"ablation-{name}" for name in one.ablations)]
    expected = [stages.data(2), stages.bounds(), stages.throughput(2), stages.semantics(name, 2)]
    expected += [stages.train(name, recipe, 2) for recipe in recipes]
    expected += [stages.evaluate(name, recipe, 2) for recipe in recipes]
    assert all(isinstance(seconds, int) and seconds >= STARTUP for seconds in expected)
    assert Durations(one, on_gpu=True).throughput(2) <= stages.throughput(2)
    assert stages.data(8) <= stages.data(2)


def test_training_follows_steps_and_processors() -> None:
    plain = described(REPOSITORY / "config.yaml")
    training = plain.experiment.training.model_dump()
    longer = {
        **training,
        "recipe_phase": {**training["recipe_phase"], "epochs": 10 * training["recipe_phase"]["epochs"]},
    }
    ten_times = described(REPOSITORY / "config.yaml", training=longer)
    short, long = (one.train("vit_micro_patch8", "dense", 2) - STARTUP for one in (plain, ten_times))
    assert long == pytest.approx(10 * short, rel=0.02)
    assert plain.train("vit_micro_patch8", "dense", 8) < plain.train("vit_micro_patch8", "dense", 2)
    assert plain.train("vit_micro_patch8_depth7", "dense", 2) < plain.train("vit_micro_patch8", "dense", 2)


def test_a_control_is_evaluated_at_one_point() -> None:
    stages = described(REPOSITORY / "config.yaml")
    control, studied = (
        stages.evaluate(name, "dense", 2) - STARTUP for name in ("vit_micro_patch8_depth7", "vit_micro_patch8")
    )
    assert control < studied / 5


def test_timing_follows_rounds() -> None:
    timing = {"batches": [1, 8], "images": 16, "rounds": 15}
    short, long = (
        described(REPOSITORY / "config.yaml", throughput=timing | {"block_seconds": seconds}).throughput(64)
        for seconds in (1.0, 10.0)
    )
    assert long - STARTUP == pytest.approx(10 * (short - STARTUP), rel=0.01)
