"""A study on a machine that is lent in pieces: one command ends in time, goes on, and leaves whole results."""

import os
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
TIMED_OUT = (124, 137, -9)  # as `timeout` says it, also where it had to kill, itself too
PIECES = 40


@pytest.mark.exhaustive
def test_the_documented_command_finishes_a_study_in_pieces(tmp_path: Path) -> None:
    tiny = yaml.safe_load((REPOSITORY / "tests/workflow/tiny.yaml").read_text(encoding="utf-8"))
    tiny["training"]["recipe_phase"]["epochs"] = 4
    tiny["training"]["options"]["checkpoint_minutes"] = 0
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(tiny), encoding="utf-8")
    page = (REPOSITORY / "docs/cluster.md").read_text(encoding="utf-8")
    [command] = re.findall(r"^timeout .*?done'$", page, re.DOTALL | re.MULTILINE)
    command = command.replace(' "[0, 1, 2]"', "").replace("--cores 16", f"--snakefile {REPOSITORY}/Snakefile --cores 2")
    command = command.replace("FILE", str(tmp_path / "experiment.yaml"))
    seconds, whole, pieces = 20.0, [], 0
    environment = {key: value for key, value in os.environ.items() if key != "PAUMER_DATA"}
    while pieces < PIECES:
        piece = command.replace(" 540 ", f" {seconds:.0f} ")
        assert piece != command
        ended = subprocess.run(["bash", "-c", piece], cwd=tmp_path, env=environment, capture_output=True, text=True)
        pieces += 1
        assert ended.returncode in (0, *TIMED_OUT), ended.stderr[-3000:]
        if (tmp_path / "results/tiny/intervals.csv").exists():
            [number] = pd.read_csv(tmp_path / "results/tiny/intervals.csv")["seeds"].unique()
            whole.append(int(number))
        if ended.returncode == 0:
            break
        seconds *= 1.2  # where the machine is slow, a job takes longer than a piece
    assert ended.returncode == 0
    assert pieces > 1
    assert whole == sorted(whole)
    assert whole[-1] == 2
    assert not list((tmp_path / "results/tiny").rglob("*.pt"))
