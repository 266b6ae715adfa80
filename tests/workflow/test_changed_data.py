"""A dataset that was corrected after a run: what rests on it runs again, and nothing does where it is the same."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from miniature import masks

from paumer.system.files import read_json

pytestmark = pytest.mark.exhaustive  # on other data than the run of test_smoke.py
REPOSITORY = Path(__file__).parents[2]
TINY = yaml.safe_load((Path(__file__).parent / "tiny.yaml").read_text(encoding="utf-8"))


def snakemake(folder: Path, *options: str) -> str:
    """What Snakemake says of two stages that rest on the data alone: one measures, the other draws."""
    command = ["snakemake", "flops", "samples", "--cores", "1", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(folder / "experiment.yaml"), *options]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment on data of one's own, whose multiply-accumulates are counted, and of which samples are drawn."""
    place = tmp_path_factory.mktemp("experiment")
    masks(place / "own", [[0, 1]], [[0, 1], [1, 0]], "classes: [a, b]\n")
    described = TINY | {"data": {"dataset": "folder", "folder": "own"}}
    (place / "experiment.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    snakemake(place)
    return place


def test_the_record_of_a_stage_has_the_checksums_of_its_data(folder: Path) -> None:
    splits = read_json(folder / "results/tiny/data.json")["splits"]
    recorded = read_json(folder / "results/tiny/flops.json")["data"]
    assert recorded == {name: split["sha256"] for name, split in splits.items()}


def test_the_same_data_leave_nothing_to_do(folder: Path) -> None:
    for path in (folder / "own").rglob("*.*"):
        os.utime(path)
    assert "Nothing to be done" in snakemake(folder, "--dry-run")


def test_corrected_labels_are_checked_and_measured_anew(folder: Path) -> None:
    label, other = (folder / f"own/labels/val/{number}.png" for number in (0, 1))
    before = label.read_bytes()
    label.write_bytes(other.read_bytes())
    said = snakemake(folder, "--dry-run")
    label.write_bytes(before)
    for rule in ("data", "flops"):
        assert re.search(rf"^{rule} +1$", said, re.MULTILINE), said
    assert "Nothing to be done" in snakemake(folder, "--dry-run")


def test_other_colours_draw_again_and_measure_nothing(folder: Path) -> None:
    classes = folder / "own/classes.yaml"
    classes.write_text(f"{classes.read_text()}colours: [[255, 0, 0], [0, 0, 255]]\n")
    assert "2 jobs: colours, samples" in snakemake(folder)
    assert read_json(folder / "results/tiny/colours.json") == {"a": "#ff0000", "b": "#0000ff"}
    assert "Nothing to be done" in snakemake(folder, "--dry-run")
