"""The same seed on the same machine gives the same numbers, byte by byte."""

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
TABLES = ("accuracy.csv", "flops.csv")


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("experiment", "rows"),
    [(Path(__file__).parent / "tiny.yaml", 3), (REPOSITORY / "workflow/experiments/smoke.yaml", 30)],
    ids=["tiny", "smoke"],
)
def test_two_clean_runs_agree(experiment: Path, rows: int, tmp_path: Path) -> None:
    contents = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        command = ["snakemake", *(f"results/{experiment.stem}/{table}" for table in TABLES), "--cores", "2"]
        command += ["--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(folder)]
        command += ["--configfile", str(experiment)]
        finished = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        assert finished.returncode == 0, finished.stderr[-3000:]
        contents.append([(folder / f"results/{experiment.stem}" / table).read_bytes() for table in TABLES])
    assert contents[0] == contents[1]
    accuracy = contents[0][0].decode().splitlines()
    assert len(accuracy) > rows
    assert len({line.split(",")[8] for line in accuracy}) > 2  # the numbers are not all alike
