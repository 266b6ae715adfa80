"""Mistakes in the configuration stop the workflow before any job, with one line that names culprit and remedy."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from tiers import first

REPOSITORY = Path(__file__).parents[2]

CASES = {
    'traning={"epochs": 1}': ("traning", "did you mean 'training'"),
    'training={"options": {"batch": -2}}': ("training.options.batch", "-2"),
    'throughput={"batches": [-1]}': ("throughput.batches", "greater than or equal to 1"),
    'sweep=[{"strategy": "pause", "schedules": ["3:0.9+6:0.4"]}]': ("3:0.9+6:0.4", "below 1"),
    'sweep=[{"strategy": "pause", "schedules": ["x:0.2"]}]': ("x:0.2", "write it like"),
    'sweep=[{"strategy": "pause", "schedules": ["15:0.2"]}]': ("15:0.2", "heads.blocks"),
    'heads={"blocks": [1, 2, 3, 4, 6, 8, 9, 15]}': ("heads.blocks", "no block 15 in a network of 12 blocks"),
    'data={"dataset": "cityscape"}': ("data.dataset", "cityscapes"),
    'evaluation={"inference": "sliding", "stride": [900, 900]}': ("evaluation", "gaps"),
    "seeds=[]": ("seeds", "at least 1"),
}


@pytest.mark.parametrize("override", first(CASES))
def test_planning_refuses(override: str, tmp_path: Path) -> None:
    command = ["snakemake", "-n", "--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(tmp_path)]
    command += ["--configfile", str(REPOSITORY / "config.yaml"), "--config", override]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert finished.returncode != 0
    errors = [line for line in finished.stderr.splitlines() if line.startswith("paumer: error: ")]
    assert len(errors) == 1, finished.stderr
    for part in CASES[override]:
        assert part in errors[0]
    assert "Traceback" not in finished.stderr
    assert not (tmp_path / "results").exists()


def test_words_stand_in_any_order(tmp_path: Path) -> None:
    """Behind --configfile, an option of several files, `all` is one more of them to Snakemake."""
    common = ["-n", "--quiet", "all", "--directory", str(tmp_path)]
    experiment = ["--configfile", "workflow/experiments/smoke.yaml"]
    planned = [
        subprocess.run(["snakemake", *words], capture_output=True, text=True, cwd=REPOSITORY)
        for words in ([*common, *experiment, "all"], ["all", *common, *experiment])
    ]
    assert [run.returncode for run in planned] == [0, 0], planned[0].stderr
    counts = [re.findall(r"^(\w+) +(\d+)$", run.stdout, flags=re.MULTILINE) for run in planned]
    assert counts[0] == counts[1] and ("report", "1") in counts[0]


def test_planning_imports_no_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise RuntimeError('torch was imported')\n")
    command = ["snakemake", "-n", "--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(tmp_path)]
    command += ["--configfile", str(REPOSITORY / "config.yaml")]
    finished = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    assert finished.returncode == 0, finished.stderr
