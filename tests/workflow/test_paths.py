"""Folders may have any name: braces, which Snakemake takes for wildcards, and the user's home."""

import os
import re
import subprocess
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[2]
TINY = yaml.safe_load((Path(__file__).parent / "tiny.yaml").read_text(encoding="utf-8"))


def test_paths_may_hold_braces_and_begin_at_home(tmp_path: Path) -> None:
    [backbone] = TINY["backbones"]
    changes = {
        "results": "~/out",
        "data": {"dataset": "folder", "folder": "own {1}", "train_split": "train {split}"},
        "backbones": [backbone | {"weights": "weights {backbone}.npz", "positions": "learned"}],
    }
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(TINY | changes), encoding="utf-8")
    command = ["snakemake", "all", "--dry-run", "--printshellcmds", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(tmp_path), "--configfile", str(tmp_path / "experiment.yaml")]
    environment = os.environ | {"HOME": str(tmp_path / "home"), "PAUMER_CHECKPOINTS": "~/checkpoints {1}"}
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    calls = {found[1]: found[0] for found in re.finditer(r"paumer (\w+) --.*", finished.stdout)}
    assert "own {1}" in calls["data"] and f"--output {tmp_path}/home/out/tiny/data.json" in calls["data"]
    assert f"{tmp_path}/home/checkpoints {{1}}/" in calls["train"]
    assert "'train {split}'" in calls["samples"]
    for verb in ("train", "bounds", "flops", "throughput"):
        assert "weights {backbone}.npz" in calls[verb]
    assert not any("~" in call for call in calls.values())
