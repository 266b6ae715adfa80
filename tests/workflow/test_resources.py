"""How many cores the stages get where one or several GPUs are counted, and none."""

import re
import subprocess
from pathlib import Path

import pytest
from tiers import first

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("options", "shared"),
    first(
        [
            (["--resources", "gpu=4"], "2"),
            ([], "8"),
            (["--resources", "gpu=4", "--config", "device=cpu"], "8"),
        ]
    ),
    ids=["four", "one", "cpu"],
)
def test_jobs_on_several_gpus_share_the_cores(options: list[str], shared: str, tmp_path: Path) -> None:
    command = ["snakemake", "-n", "-p", "all", "--cores", "8", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--workflow-profile", str(REPOSITORY / "workflow/profiles/default"), "--directory", str(tmp_path)]
    command += ["--configfile", str(REPOSITORY / "workflow/experiments/smoke.yaml"), *options]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    threads = dict(re.findall(r"paumer (\w+).*--threads (\d+)", finished.stdout + finished.stderr))
    assert threads["train"] == threads["evaluate"] == threads["semantics"] == shared
    assert threads["throughput"] == threads["data"] == "8"
