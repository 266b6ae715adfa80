"""Committed reference results were measured with the settings that stand in the repository, by code that they name."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import reference_camvid as camvid
import yaml
from reference_pages import PAGES, TABLES, rewritten, typed

from paumer.config.base import parse
from paumer.config.experiment import Experiment
from paumer.config.runs import CostSettings, TrainSettings
from paumer.reporting.frames import MEASURES, POINT
from paumer.reporting.rounds import TIMED, measures_of_rounds
from paumer.reporting.sheets import DECIMALS
from paumer.reporting.verify import check_timings

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results/reference"
MEASURED = {"scenes": "config.yaml", "intel-xeon-2-threads": "workflow/experiments/speed.yaml"}


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
    stored: TrainSettings = parse(TrainSettings, run["settings"], path)  # keys of later versions as they were then
    backbone = stored.backbone.model_copy(update={"normalization": wanted.backbone.normalization})  # `auto` stood there
    assert stored.model_copy(update={"backbone": backbone}) == wanted
    assert run["code"]["revision"] in (REFERENCE / path / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_page_shows_what_the_measurements_give(page: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text == rewritten(text, REFERENCE), "run `python tests/reference_pages.py`"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_no_figure_of_a_table_or_in_bold_is_typed(page: Path) -> None:
    assert list(typed((ROOT / page).read_text(encoding="utf-8"))) == []


@pytest.fixture(scope="module")
def computed() -> dict[str, str]:
    return camvid.files(REFERENCE / "camvid", REFERENCE / "published.csv")


def test_tables_of_camvid_follow_from_its_measurements(computed: dict[str, str]) -> None:
    for name, text in computed.items():
        assert (REFERENCE / "camvid" / name).read_text(encoding="utf-8") == text, name


def test_speedups_and_intervals_of_camvid_follow_from_its_rounds() -> None:
    assert list(check_timings(REFERENCE / "camvid/h100")) == []
    differing = list(check_timings(REFERENCE / "camvid"))  # those whose dense was not kept, as the page says
    assert len(differing) == 4
    assert all(re.search("token-exit (1:0.4|2:0.5) ", line) for line in differing)


@pytest.mark.parametrize(
    ("changed", "named"),
    [((",1.2193,", ",1.2493,"), "speedup is 1.2493"), (("169.2560", "969.2560"), "images_per_s is 969.256")],
)
def test_a_timing_that_does_not_follow_from_its_rounds_is_named(
    changed: tuple[str, str], named: str, tmp_path: Path
) -> None:
    copy = tmp_path / "h100"
    shutil.copytree(REFERENCE / "camvid/h100", copy)
    table = (copy / "throughput.csv").read_text(encoding="utf-8")
    assert changed[0] in table
    (copy / "throughput.csv").write_text(table.replace(*changed, 1), encoding="utf-8")
    [line] = check_timings(copy)
    assert named in line and "in its rounds" in line


def test_small_speedups_are_compared_as_they_are_rounded(tmp_path: Path) -> None:
    """With a dense network a hundred times as fast, four decimals are few."""
    rounds = pd.read_csv(REFERENCE / "camvid/h100/throughput_rounds.csv", keep_default_na=False)
    seconds = rounds["seconds"].mask(rounds["variant"] == "dense dense", rounds["seconds"] / 100)
    rounds.assign(seconds=seconds).to_csv(tmp_path / "throughput_rounds.csv", index=False)
    computed = measures_of_rounds(tmp_path / "throughput_rounds.csv").drop(columns="rounds").round(DECIMALS)
    table = pd.read_csv(REFERENCE / "camvid/h100/throughput.csv", keep_default_na=False).drop(columns=MEASURES)
    variant = [" ".join(filter(None, row)) for row in table[POINT[2:]].to_numpy()]
    timings = table.assign(variant=variant).merge(computed, on=[*TIMED, "variant"], how="left")
    timings.drop(columns="variant").to_csv(tmp_path / "throughput.csv", index=False)
    assert list(check_timings(tmp_path)) == []


def test_a_figure_that_does_not_fit_is_found(tmp_path: Path) -> None:
    """In a page, and in a measurement behind it; the check would otherwise prove nothing."""
    text = (REFERENCE / "camvid/README.md").read_text(encoding="utf-8")
    assert (changed := text.replace("| 69.33 |", "| 69.43 |").replace(" 69.33 |", " 69.43 |")) != text
    assert rewritten(changed, REFERENCE) == text
    copy = tmp_path / "camvid"
    shutil.copytree(REFERENCE / "camvid", copy)
    accuracy = copy / "accuracy.csv"
    lines = accuracy.read_text(encoding="utf-8").splitlines(keepends=True)
    [place] = [at for at, line in enumerate(lines) if ",paumer,pause,entropy,1:0.4,0," in line]
    before, value, after = re.split(r"(?<=,1:0.4,0,)([0-9.]+)", lines[place], maxsplit=1)
    lines[place] = f"{before}{float(value) - 0.5}{after}"
    accuracy.write_text("".join(lines), encoding="utf-8")
    for name in ("first", "compared", "training", "summary"):
        assert TABLES[f"camvid-{name}"](tmp_path) != TABLES[f"camvid-{name}"](REFERENCE), name


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("| a | b |\n|---|---|\n| `1:0.4` | 1.54 |\n", 1),
        ("| a | b |\n|---|---|\n| `1:0.4` | [x](y1.5.md) |\n", 0),
        ("<!-- not recorded -->\n\n| a | b |\n|---|---|\n| c | 1.54 |\n", 0),
        ("<!-- table: demo -->\n| a | 1.54 |\n<!-- end of table -->\n", 0),
        ("Text with 1.5 and **1.54 times as\nfast**, **no figure**, **`1:0.4` loses nothing**.", 1),
    ],
)
def test_typed_figures_are_found(text: str, found: int) -> None:
    assert len(list(typed(text))) == found
