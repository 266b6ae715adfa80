"""The workflow on a real Slurm: to the report, through a cancelled job and a restart of the controller."""

import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import Cluster, missing_programs

REPOSITORY = Path(__file__).parents[2]
TINY = REPOSITORY / "tests/workflow/tiny.yaml"
PATIENCE = 1800  # seconds until something must have happened
SILENCE = 150  # seconds without a job in the queue and without a word of Snakemake: far more than its own rules take
# A cluster without accounting; and less waiting than is polite on one that others use.
OPTIONS = ["--slurm-no-account", "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"]

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.skipif(bool(missing_programs()), reason=f"Slurm is not installed: no {', '.join(missing_programs())}"),
]
STATUS = re.compile(r"^\d+ of \d+ jobs done in .+; job .+\n", re.MULTILINE)  # goes on while Snakemake waits for ever


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # Names of sockets must be short, which those of pytest's own folders are not.
    with tempfile.TemporaryDirectory(prefix="slurm") as folder, Cluster(Path(folder)) as started:
        yield started


class Workflow:
    """Snakemake with the Slurm profile."""

    def __init__(self, cluster: Cluster, folder: Path, experiment: dict[str, Any], *options: str) -> None:
        (folder / "experiment.yaml").write_text(yaml.safe_dump(experiment), encoding="utf-8")
        command = ["snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(folder)]
        command += ["--workflow-profile", str(REPOSITORY / "workflow/profiles/slurm"), *OPTIONS]
        command += ["--configfile", str(folder / "experiment.yaml"), "--latency-wait", "5", *options]
        self.command, self.folder, self.cluster, self.log = command, folder, cluster, folder / "snakemake.txt"
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            environment = self.cluster.environment
            return subprocess.Popen(self.command, cwd=self.folder, env=environment, stdout=log, stderr=log)

    def wait(self) -> int:
        """Until it ends; give its exit code.

        The plugin forgets its jobs where the controller is away during one whole check of them, and waits for ever:
        then it is killed, and the same command typed again, as docs/cluster.md says.
        """
        started = spoke = time.monotonic()
        words = 0
        try:
            while self.process.poll() is None and time.monotonic() - started < PATIENCE:
                time.sleep(1)
                if (size := len(STATUS.sub("", self.text))) != words or self.cluster.run("squeue", "--noheader"):
                    words, spoke = size, time.monotonic()
                elif time.monotonic() - spoke > SILENCE:
                    self.process.kill()
                    self.process.wait()
                    self.process, spoke = self._start(), time.monotonic()
            return self.process.wait(1)
        finally:
            self.process.kill()

    def wait_for_job(self, rule: str, known: frozenset[str] = frozenset()) -> str:
        """Until a job of a rule runs that is not one of those known; give its number."""
        started = time.monotonic()
        while time.monotonic() - started < PATIENCE:
            for line in self.cluster.run("squeue", "--noheader", "--states=RUNNING", "--format=%i %k").splitlines():
                number, comment = line.split(maxsplit=1)
                if comment.startswith(f"rule_{rule}") and number not in known:
                    return number
            assert self.process.poll() is None, self.text[-3000:]
            time.sleep(1)
        self.process.kill()
        raise TimeoutError(f"no job of rule {rule} within {PATIENCE} s: {self.text[-3000:]}")

    @property
    def text(self) -> str:
        """What Snakemake said."""
        return self.log.read_text(encoding="utf-8")


def read_tiny(**training: Any) -> dict[str, Any]:
    experiment = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    return experiment | {"training": experiment["training"] | training}


def test_to_the_report_through_a_cancelled_job_and_a_restart(cluster: Cluster, tmp_path: Path) -> None:
    workflow = Workflow(cluster, tmp_path, read_tiny(), "all")
    cancelled = workflow.wait_for_job("train")
    cluster.run("scancel", cancelled)
    workflow.wait_for_job("train", frozenset({cancelled}))
    cluster.stop("slurmctld")
    time.sleep(3)
    cluster.start("slurmctld")

    assert workflow.wait() == 0, workflow.text[-5000:]
    assert (tmp_path / "results/tiny/report.html").exists()
    assert f"SLURM-job '{cancelled}' failed, SLURM status is: 'CANCELLED'" in workflow.text
    finished = Counter(re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", workflow.text))
    assert finished["data"] == 1 and finished["train"] == finished["evaluate"] == 2  # nothing was done twice
    submitted = Counter(re.findall(r"has been submitted .*/rule_(\w+)/", workflow.text))
    assert submitted["train"] >= 3 and submitted["data"] == 1
    assert "report" not in submitted  # seconds of work stay where Snakemake runs


def test_a_job_past_its_time_limit_ends_in_an_error_and_keeps_its_checkpoint(cluster: Cluster, tmp_path: Path) -> None:
    experiment = read_tiny(recipe_phase={"epochs": 1e6})
    experiment["training"]["options"]["checkpoint_minutes"] = 0.1
    weights = "results/tiny/runs/vit_nano_patch8/dense/seed0/model.safetensors"
    limited = [weights, "--retries", "0", "--set-resources", "train:runtime=1"]
    workflow = Workflow(cluster, tmp_path, experiment, *limited)
    assert workflow.wait() != 0
    assert "SLURM status is: 'TIMEOUT'" in workflow.text
    assert not (tmp_path / weights).exists()
    assert (tmp_path / "results/tiny/checkpoints/vit_nano_patch8/dense/seed0/last.pt").exists()

    again = Workflow(cluster, tmp_path, experiment, *limited)
    cluster.run("scancel", again.wait_for_job("train"))
    assert again.wait() != 0
    assert again.text.count("/rule_data/") == workflow.text.count("/rule_data/") == 1  # what was finished stays


def test_a_job_is_told_its_gpu(cluster: Cluster) -> None:
    told = cluster.run("srun", "--gpus=1", "--ntasks=1", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES $SLURM_JOB_ID")
    device, job = told.split()
    assert device in ("0", "1") and job.isdigit()  # so that `paumer` leaves it alone
