"""The whole pipeline for real, from drawing scenes to the report: a part of smoke.yaml, and in the other tier all."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from command_line import CommandLine
from tiers import first

from paumer.reporting.verify import trace
from paumer.strategies.notation import Schedule
from paumer.strategies.registry import REGISTRY

REPOSITORY = Path(__file__).parents[2]
PLAIN = {"heads": {"adapter": 0, "context": 0, "classifier": "own"}, "pausing": {"none": 0.5}}
ABLATIONS = {"plain": PLAIN}
RUNS = ("paumer", "ablation-plain")
PART = {
    "data": {"scenes": {"train_images": 16, "val_images": 4}},
    "training": {"recipes": ["dense", "multi-exit", "paumer"]},  # those that every strategy has a network with
    "throughput": {"rounds": 3, "block_seconds": 0.005},
    "figures": {"pause_maps": 1},
}
IDLE = ("merging", "resizing")  # of recipes that the part does not train


def with_changes(content: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    nested = {key: with_changes(content[key], value) for key, value in changes.items() if isinstance(value, dict)}
    return content | changes | nested


def run_snakemake(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["snakemake", "all", "--cores", "1", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(folder)]
    command += ["--workflow-profile", str(REPOSITORY / "workflow/profiles/default")]
    command += ["--configfile", str(folder / "experiment.yaml"), *options]
    environment = {key: value for key, value in os.environ.items() if key != "PAUMER_DATA"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)


@pytest.fixture(scope="module", params=first(["part", "whole"]))
def experiment(request: pytest.FixtureRequest) -> dict[str, Any]:
    smoke = yaml.safe_load((REPOSITORY / "workflow/experiments/smoke.yaml").read_text(encoding="utf-8"))
    if request.param == "part":
        smoke = with_changes(smoke, PART)
        smoke["training"] = {key: value for key, value in smoke["training"].items() if key not in IDLE}
    return smoke | {"ablations": ABLATIONS}


@pytest.fixture(scope="module")
def folder(experiment: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("smoke")
    (place / "experiment.yaml").write_text(yaml.safe_dump(experiment), encoding="utf-8")
    finished = run_snakemake(place)
    assert finished.returncode == 0, finished.stderr[-5000:]
    (place / "output.txt").write_text(finished.stderr, encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def results(folder: Path) -> Path:
    return folder / "results/smoke"


@pytest.fixture(scope="module")
def main(results: Path) -> pd.DataFrame:
    return pd.read_csv(results / "tables/main.csv", keep_default_na=False, na_values=[""])


def test_a_second_run_has_nothing_to_do(folder: Path) -> None:
    again = run_snakemake(folder, "--dry-run")
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr


def test_the_output_shows_each_job_once_and_the_time_to_go(folder: Path) -> None:
    output = (folder / "output.txt").read_text(encoding="utf-8")
    plan = re.search(r"^(\d+) jobs: data, .+\nEstimated time: .+, corrected while jobs run$", output, re.MULTILINE)
    assert plan
    count = int(plan[1])
    finished = rf"^Finished jobid: (\d+) .+ after .+\n(\d+) of {count} jobs done in .+$"
    jobs, done = zip(*re.findall(finished, output, re.MULTILINE), strict=True)
    assert [int(number) for number in done] == list(range(1, count + 1))
    assert sorted(re.findall(r"^Job (\d+): \w+ing ", output, re.MULTILINE)) == sorted({*jobs} - {"0"})  # 0 is `all`
    assert "Reason" not in output


def test_drop_is_dense_minus_row(main: pd.DataFrame) -> None:
    dense = main[(main.recipe == "dense") & (main.strategy == "dense")].miou.item()
    assert (main["drop"] - (dense - main.miou)).abs().max() < 1e-3


def test_main_table_says_what_accuracy_says(main: pd.DataFrame, results: Path) -> None:
    accuracy = pd.read_csv(results / "accuracy.csv").fillna({"criterion": ""})
    keys = ["recipe", "strategy", "criterion", "schedule"]
    joined = main.fillna({"criterion": ""}).merge(accuracy, on=keys, suffixes=("", "_measured"))
    assert len(joined) == len(main) == len(accuracy)
    assert (joined.miou - joined.miou_measured).abs().max() < 1e-3
    classes = accuracy.filter(like="iou_")
    assert (classes.mean(axis=1) - accuracy.miou).abs().max() < 1e-3


def test_gmac_falls_as_pausing_grows(main: pd.DataFrame) -> None:
    for _, rows in main[main.strategy == "pause"].groupby("criterion"):
        by_schedule = rows.set_index("schedule").gmac
        assert by_schedule["2:0.6"] < by_schedule["2:0.3+4:0.3"] < by_schedule["2:0.3"]
    dense = main[main.strategy == "dense"].gmac
    assert main[~main.strategy.isin(["dense", "adaptive-exit", "token-exit"])].gmac.max() < dense.min()
    assert dense.nunique() == 1


def test_costs_counted_two_ways_agree(results: Path) -> None:
    """The closed form over real images, and fvcore's count of one."""
    accuracy = pd.read_csv(results / "accuracy.csv")
    counted = pd.read_csv(results / "flops.csv")
    joined = accuracy[accuracy.criterion != "random"].merge(counted, on=["backbone", "strategy", "schedule"])
    assert len(joined) > 15
    assert (joined.gmac - joined.gmac_total).abs().max() < 1e-4
    assert (joined.gmac_low == joined.gmac_high).all()
    varying = accuracy[accuracy.schedule.str.contains("@")]
    assert (varying.gmac_low <= varying.gmac).all() and (varying.gmac <= varying.gmac_high).all()
    assert (varying.gmac_low < varying.gmac_high).any()


def test_every_registered_strategy_and_control_ran(main: pd.DataFrame, experiment: dict[str, Any]) -> None:
    assert set(main.strategy) >= {"dense", "smaller-backbone", "merge>pause", *REGISTRY}
    assert set(main.recipe) == set(experiment["training"]["recipes"])
    assert {"entropy", "random", "oracle"} <= set(main.criterion.dropna())


def test_throughput_has_null_variants_and_floors(results: Path, experiment: dict[str, Any]) -> None:
    table = pd.read_csv(results / "throughput.csv").fillna({"recipe": ""})
    assert set(table.status) == {"ok"}
    assert set(table.recipe) == {"", *experiment["training"]["recipes"]} - {"resize"}  # of which no cost varies
    for (recipe, _), rows in table.groupby(["recipe", "batch"]):
        assert (rows.strategy == "dense-again").sum() == 1
        assert rows[rows.strategy == "dense"].speedup.item() == 1
        assert ((rows.speedup_low <= rows.speedup) & (rows.speedup <= rows.speedup_high)).all()
        varies = rows.schedule.str.contains("@") | (rows.strategy == "mutual-merge")
        assert (varies == ((recipe != "") & ~rows.strategy.str.startswith("dense"))).all()
        assert rows[rows.strategy == "pause"].floor_ratio.notna().all()


def test_rounds_hold_every_timing(results: Path) -> None:
    rounds = pd.read_csv(results / "throughput_rounds.csv").fillna({"recipe": ""})
    table = pd.read_csv(results / "throughput.csv").fillna({"recipe": "", "criterion": ""})
    medians = (rounds.images / rounds.seconds).groupby([rounds.recipe, rounds.batch, rounds.variant]).median()
    for row in table.itertuples():
        variant = " ".join(filter(None, [row.strategy, row.criterion, row.schedule]))
        assert row.images_per_s == pytest.approx(medians[row.recipe, row.batch, variant], rel=1e-3)


def test_speed_table_holds_every_timing_but_the_null(results: Path) -> None:
    timed = pd.read_csv(results / "throughput.csv")
    speed = pd.read_csv(results / "tables/speed.csv")
    assert len(speed) == (timed.strategy != "dense-again").sum()
    counted = speed.schedule.isin(pd.read_csv(results / "flops.csv").schedule)  # others vary, or were chosen later
    assert speed[counted].realised.notna().all()
    assert speed[~counted].gmac.isna().all()


def test_machine_is_described(results: Path) -> None:
    machine = json.loads((results / "machine.json").read_text())
    assert machine["environment"]["device"] in set(pd.read_csv(results / "throughput.csv").device)
    assert machine["code"]["revision"] in (results / "report.html").read_text(encoding="utf-8")


def test_every_run_had_the_same_number_of_steps(results: Path) -> None:
    steps = set()
    for path in (results / "runs").glob("*/*/*/run.json"):
        if "shared" not in path.parts:
            steps.add(re.search(r'"steps": (\d+)', path.read_text())[1])
    assert len(steps) == 1  # the smaller network's too


def test_points_of_methods_exist_and_qualify(main: pd.DataFrame, results: Path) -> None:
    methods = pd.read_csv(results / "tables/methods.csv")
    measured = methods[methods.method != "published claim"]
    assert len(methods) > len(measured) > 0
    for row in measured[~measured.fastest_schedule.isin(["none", "not timed"])].itertuples():
        assert row.fastest_drop <= 0.65
        assert row.fastest_schedule in set(main.schedule)


def test_headline_has_a_row_for_each_family(results: Path) -> None:
    headline = pd.read_csv(results / "tables/headline.csv")
    assert len(headline.columns) <= 7
    methods = set(headline.method)
    assert methods >= {"PAUMER: pause by entropy", "merging", "merging + pausing", "early exit", "token exits"}
    assert methods >= {"pausing by another criterion", "smaller input", "smaller network"}


def test_the_report_opens_with_the_sentences_of_the_headline(results: Path) -> None:
    sentences = (results / "tables/headline.md").read_text(encoding="utf-8").split("\n\n")[0]
    page = (results / "report.html").read_text(encoding="utf-8")
    assert all(sentence in page for sentence in sentences.split(". ")[:1])


def test_schedules_are_written_as_they_are_parsed(main: pd.DataFrame) -> None:
    for text in main[main.strategy == "pause"].schedule:
        assert str(Schedule(text)) == text


def test_report_is_self_contained_and_complete(results: Path) -> None:
    page = (results / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="https?:', page)
    assert not re.search(r"<(script|link)[^>]*(src|href)=", page)
    sections = [
        "headline",
        "explorer",
        "methods",
        "maps",
        "semantics",
        "bounds",
        "table",
        "criteria",
        "published",
        "classes",
    ]
    for section in [*sections, "speed", "training", "provenance"]:
        assert f'id="{section}"' in page
    for figure in (results / "figures").glob("*.csv"):
        assert not pd.read_csv(figure).empty, figure.name


def test_bounds_frame_the_dataset(results: Path) -> None:
    bounds = pd.read_csv(results / "bounds.csv").set_index("bound").miou
    assert 0 < bounds["linear on raw patches"] < bounds["patch ceiling"] < 100


def test_no_checkpoint_and_no_partial_file_remains(results: Path) -> None:
    assert not list(results.rglob("*.part*"))
    assert not list(results.rglob("last.pt"))


def test_the_ablation_is_trained_like_the_recipe_and_stands_beside_it(results: Path, main: pd.DataFrame) -> None:
    table = pd.read_csv(results / "tables/ablation.csv")
    assert table.variant.unique().tolist() == ["paumer", "plain"]
    informed = table[table.criterion == "entropy"]
    whole, plain = (informed[informed.variant == name].set_index("schedule") for name in ("paumer", "plain"))
    paused = main[(main.recipe == "paumer") & (main.strategy == "pause") & (main.criterion == "entropy")]
    paused = paused.set_index("schedule")
    for schedule in ("2:0.3", "2:0.3+4:0.3"):
        assert abs(whole.loc[schedule, "drop"] - paused.loc[schedule, "drop"]) < 1e-3
        assert plain.loc[schedule, "gmac"] < whole.loc[schedule, "gmac"]  # no adapters
    runs = {name: json.loads((next(results.glob(f"runs/*/{name}/*/run.json"))).read_text()) for name in RUNS}
    assert runs["ablation-plain"]["steps"] == runs["paumer"]["steps"]
    assert runs["ablation-plain"]["network"]["heads"]["adapter"] == 0 < runs["paumer"]["network"]["heads"]["adapter"]


def test_every_row_can_be_traced(command_line: CommandLine, results: Path, main: pd.DataFrame) -> None:
    traced = json.loads(command_line.run("provenance", results / "tables/main.csv")[1])
    assert len(traced["rows"]) == len(main)
    for number, row in enumerate(main.itertuples(), start=1):
        backbone = row.schedule if row.strategy == "smaller-backbone" else row.backbone
        assert traced["rows"][str(number)] == [f"runs/{backbone}/{row.recipe}/seed0"]
    run = traced["runs"]["runs/vit_nano_patch8/paumer/seed0"]
    assert run["seed"] == run["settings"]["seed"] == 0
    assert run["code"]["revision"] and run["environment"]["torch"]
    assert run["data_sha256"] == traced["data"]["splits"]["train"]["sha256"]
    assert run["evaluation"]["inputs"]["model.safetensors"] == run["weights_sha256"]
    assert run["evaluation"]["settings"]["sweep"]
    assert set(traced["measured"]) == {"flops", "bounds", "throughput"}
    ablation = json.loads(command_line.run("provenance", results / "tables/ablation.csv")[1])
    assert ["runs/vit_nano_patch8/ablation-plain/seed0"] in ablation["rows"].values()


def test_every_file_can_be_traced(results: Path) -> None:
    files = [path for path in results.rglob("[!.]*") if path.is_file() and results / "data" not in path.parents]
    assert len(files) > 100
    for path in files:
        traced = trace(path)
        assert traced["runs"] and traced["data"]["splits"] and traced["sha256"], path


def test_tables_follow_from_the_raw_files(command_line: CommandLine, results: Path) -> None:
    code, printed, error = command_line.run("verify", results)
    assert code == 0, printed + error


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        ("tables/main.csv", r"(?m)^(\w+,paumer,pause,entropy,2:0.3,1,)\d+", r"\g<1>99", "tables/main.csv: line"),
        ("accuracy.csv", r"(?m)(,paumer,pause,entropy,2:0.3,0,)\d+", r"\g<1>99", "schedule 2:0.3, seed 0, miou 99"),
        ("throughput.csv", r",(\d+)\.(\d+),1\.0000,", r",9\1.\2,1.0000,", "in its rounds"),
        ("tables/ablation.md", "plain", "fancy", "tables/ablation.md: line"),
        ("tables/headline.md", r"\A(?s:.*)\Z", "", "tables/headline.md: line 1"),
        ("runs/vit_nano_patch8/paumer/seed0/model.safetensors", None, "other", "changed since it was evaluated"),
        ("flops.csv", r"\Z", "\n", "flops.csv: changed since it was measured"),
    ],
)
def test_what_was_changed_is_named(
    file: str, old: str | None, new: str, named: str, command_line: CommandLine, results: Path, tmp_path: Path
) -> None:
    shutil.copytree(results, tmp_path / "smoke", ignore=shutil.ignore_patterns("figures", "data"))
    changed = tmp_path / "smoke" / file
    text = new if old is None else re.sub(old, new, changed.read_text(encoding="utf-8"), count=1)
    assert old is None or text != changed.read_text(encoding="utf-8")
    changed.write_text(text, encoding="utf-8")
    code, printed, error = command_line.run("verify", tmp_path / "smoke")
    assert code == 1
    assert named in printed
    assert "Traceback" not in error
