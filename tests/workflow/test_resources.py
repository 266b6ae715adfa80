"""How many cores the stages get where one or several GPUs are counted, and none."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from tiers import first

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("visible", "options", "shared"),
    first(
        [
            ("0,1,2,3", ["--resources", "gpu=4"], "2"),
            ("0", [], "8"),
            ("", [], "4"),
            ("", ["--resources", "gpu=1"], "8"),
            ("0", ["--config", "device=cpu"], "4"),
        ]
    ),
    ids=["four GPUs", "one GPU", "no GPU", "one at a time", "cpu"],
)
def test_runs_at_once_share_the_cores(visible: str, options: list[str], shared: str, tmp_path: Path) -> None:
    command = ["snakemake", "-n", "-p", "all", "--cores", "8", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--workflow-profile", str(REPOSITORY / "workflow/profiles/default"), "--directory", str(tmp_path)]
    command += ["--configfile", str(REPOSITORY / "workflow/experiments/smoke.yaml"), *options]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": visible}
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert finished.returncode == 0, finished.stderr
    threads = dict(re.findall(r"paumer (\w+).*--threads (\d+)", finished.stdout + finished.stderr))
    assert threads["train"] == threads["evaluate"] == threads["semantics"] == shared
    assert threads["throughput"] == threads["data"] == "8"
