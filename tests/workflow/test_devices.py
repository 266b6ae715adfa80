"""How many GPUs a training job asks for, and trains on."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from tiers import first

REPOSITORY = Path(__file__).parents[2]
SMOKE = yaml.safe_load((REPOSITORY / "workflow/experiments/smoke.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("devices", "there", "expected"), first([(4, "gpu=2", "2"), (1, "gpu=4", "1"), (4, "gpu=4", "4"), (4, "", "1")])
)
def test_training_runs_on_the_devices_that_there_are(tmp_path: Path, devices, there, expected) -> None:
    """The default profile has one, where nothing else is said."""
    training = {**SMOKE["training"], "devices": devices}
    training["options"] = {**training.get("options", {}), "batch": 8}
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump({**SMOKE, "training": training}), encoding="utf-8")
    command = ["snakemake", "--dry-run", "--printshellcmds", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(tmp_path), "--configfile", str(tmp_path / "experiment.yaml"), "--cores", "2"]
    command += ["--resources", there] if there else []
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert finished.returncode == 0, finished.stderr
    assert set(re.findall(r"paumer train .* --devices (\S+)", finished.stdout)) == {expected}
