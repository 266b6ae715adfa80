"""Committed reference results were measured with the settings that stand in the repository, by code that they name."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from paumer.config import Experiment, parse
from paumer.stages import CostSettings, TrainSettings

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results/reference"
MEASURED = {"scenes": "config.yaml"}


def experiment(path: str) -> Experiment:
    return parse(Experiment, yaml.safe_load((ROOT / path).read_text(encoding="utf-8")), path)


def content(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("folder", "configuration"), MEASURED.items(), ids=MEASURED)
def test_settings_of_the_timings_are_those_of_today(folder: str, configuration: str) -> None:
    settings = content(REFERENCE / folder / "machine.json")["settings"]
    assert settings == CostSettings.of(experiment(configuration), timed=True).model_dump(mode="json")


@pytest.mark.parametrize("folder", MEASURED)
def test_page_names_revision_processor_and_instructions(folder: str) -> None:
    page = (REFERENCE / folder / "README.md").read_text(encoding="utf-8")
    measured = content(REFERENCE / folder / "machine.json")
    assert re.fullmatch(r"[0-9a-f]{12}", measured["code"]["revision"])  # a clean checkout
    assert measured["code"]["revision"] in page
    assert measured["environment"]["instructions"] in page
    assert measured["environment"]["device"].split(",")[0] in page


@pytest.mark.parametrize(
    ("path", "configuration", "recipe"),
    [("scenes", "config.yaml", "paumer"), ("demo", "workflow/experiments/demo.yaml", "paumer")],
    ids=["scenes", "demo"],
)
def test_networks_were_trained_as_the_configuration_says(path: str, configuration: str, recipe: str) -> None:
    run = content(REFERENCE / path / "run.json")
    described = experiment(configuration)
    wanted = TrainSettings.of(described, described.main_backbones[0].name, recipe, run["seed"])
    settings = [run["settings"], wanted.model_dump(mode="json")]
    for one in settings:  # what `auto` stood for
        one["backbone"].pop("normalization")
    assert settings[0] == settings[1]
    assert run["code"]["revision"] in (REFERENCE / path / "README.md").read_text(encoding="utf-8")
