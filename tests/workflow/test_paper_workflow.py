"""The experiments on the paper's datasets are planned whole, alone and together."""

import re
import subprocess
from pathlib import Path

import miniature
import pandas as pd
import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]


def plan(arguments: list[str], folder: Path) -> dict[str, int]:
    """Rule -> number of jobs, as a dry run counts them."""
    command = ["snakemake", "--dry-run", "--directory", str(folder), *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    table = re.search(r"^job +count\n[- ]+\n(.*?)\n\n", finished.stdout, re.DOTALL | re.MULTILINE)
    assert table
    return {name: int(count) for name, count in map(str.split, table[1].splitlines())}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["cityscapes", "ade20k"])
def test_the_whole_experiment_is_planned(name: str, tmp_path: Path) -> None:
    jobs = plan(["--configfile", f"workflow/experiments/{name}.yaml"], tmp_path)
    networks, controls = 3 * 2 * 3, 3  # sizes, decoders, seeds
    assert jobs["train"] == networks * 7 + controls * 2  # the shared phase, and six recipes, of a control one
    assert jobs["evaluate"] == networks * 6 + controls
    assert {"tables", "figures", "report", "throughput", "flops", "bounds"} <= set(jobs)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("name", "seeds"), [("camvid", 3), ("idd_lite", 3), ("nyuv2", 1)])
def test_points_of_others_are_chosen_on_a_split_of_their_own(name: str, seeds: int, tmp_path: Path) -> None:
    jobs = plan(["all", "uncertainty", "--configfile", f"workflow/experiments/{name}.yaml"], tmp_path)
    recipes = 6 if name == "camvid" else 4
    ablations = 15 if name == "camvid" else 0
    assert jobs["train"] == seeds * (1 + recipes + 2 * 2 + ablations)  # two controls in two phases
    assert {"tables", "figures", "report", "throughput", "flops", "robustness", "choose", "uncertainty"} <= set(jobs)


def test_both_are_planned_for_the_paper(tmp_path: Path) -> None:
    jobs = plan(["--snakefile", "workflow/paper.smk"], tmp_path)
    assert jobs["cityscapes_train"] == jobs["ade20k_train"] == 132
    assert jobs["paper"] == jobs["cityscapes_report"] == jobs["ade20k_tables"] == 1


@pytest.mark.exhaustive
def test_another_file_takes_the_place_of_an_experiment(tmp_path: Path) -> None:
    small = tmp_path / "small.yaml"
    text = (REPOSITORY / "workflow/experiments/ade20k.yaml").read_text(encoding="utf-8")
    small.write_text(text.replace("seeds: [0, 1, 2]", "seeds: [0]"), encoding="utf-8")
    jobs = plan(["--snakefile", "workflow/paper.smk", "--config", f"ade20k={small}"], tmp_path)
    assert (jobs["cityscapes_train"], jobs["ade20k_train"]) == (132, 44)


@pytest.mark.exhaustive
def test_both_datasets_reach_the_tables_in_miniature(tmp_path: Path) -> None:
    miniature.cityscapes(tmp_path / "data/cityscapes", train=8, val=4)
    miniature.ade20k(tmp_path / "data/ade20k", train=8, val=4)
    tiny = yaml.safe_load((REPOSITORY / "tests/workflow/tiny.yaml").read_text(encoding="utf-8"))
    chosen = []
    for name in ("cityscapes", "ade20k"):
        data = {"dataset": name, "folder": str(tmp_path / "data" / name)}
        small = tmp_path / f"{name}.yaml"
        small.write_text(yaml.safe_dump(tiny | {"experiment": name, "data": data}), encoding="utf-8")
        chosen.append(f"{name}={small}")
    command = ["snakemake", "--snakefile", str(REPOSITORY / "workflow/paper.smk"), "--cores", "2"]
    command += ["--directory", str(tmp_path), "--config", *chosen]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-5000:]
    methods = pd.read_csv(tmp_path / "results/paper/methods.csv")
    assert {"cityscapes", "ade20k"} <= set(methods["dataset"])
    claims = (tmp_path / "results/paper/paper.md").read_text(encoding="utf-8")
    assert "published claim" in claims and "assumption" in claims
    for name in ("cityscapes", "ade20k"):
        assert (tmp_path / f"results/{name}/report.html").exists()
