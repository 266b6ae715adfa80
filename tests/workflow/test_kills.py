"""The pipeline is killed at random moments of the smoke run; the same command again ends as if nothing had been.

`PAUMER_KILL_SEED=7 pytest -m exhaustive -s tests/workflow/test_kills.py` repeats what another run printed.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
KILLS = 20
SAME = ("accuracy.csv", "flops.csv", "bounds.csv", "tables/bounds.md", "runs/**/*.csv", "runs/**/model.safetensors")
TIMES = ("seconds", "images_per_s", "waiting")  # columns of train.csv
QUALITY = ["recipe", "strategy", "criterion", "schedule", "miou", "drop", "gmac"]
JOB, FINISHED = re.compile(r"^Job (\d+): (.+)$", re.M), re.compile(r"^Finished jobid: (\d+) ", re.M)


class Pipeline:
    """The smoke run in a folder, started again and again by the same command."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.results = folder, folder / "results/smoke"
        self.finished: Counter[str] = Counter()
        smoke = yaml.safe_load((REPOSITORY / "workflow/experiments/smoke.yaml").read_text(encoding="utf-8"))
        smoke["training"]["options"] |= {"checkpoint_minutes": 0, "workers": 1}
        (folder / "experiment.yaml").write_text(yaml.safe_dump(smoke), encoding="utf-8")

    def run(self, kill_after: float | None = None, whole: bool = True) -> bool:
        """Start it; kill it after so many seconds, with all its processes or Snakemake alone; tell whether it ended."""
        command = ["snakemake", "all", "--cores", "2", "--snakefile", str(REPOSITORY / "Snakefile")]
        command += ["--directory", str(self.folder), "--configfile", str(self.folder / "experiment.yaml")]
        environment = {key: value for key, value in os.environ.items() if key != "PAUMER_DATA"}
        with (self.folder / "said.txt").open("w") as said:
            process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=said, stderr=said, start_new_session=True
            )
            try:
                ended = process.wait(kill_after) is not None
            except subprocess.TimeoutExpired:
                ended = False
                (os.killpg if whole else os.kill)(process.pid, signal.SIGKILL)
                process.wait()
        text = (self.folder / "said.txt").read_text(encoding="utf-8")
        assert not ended or process.returncode == 0, text[-5000:]
        jobs = dict(JOB.findall(text))
        self.finished.update(jobs[number] for number in FINISHED.findall(text) if number in jobs)
        return ended


def assert_same_results(found: Path, expected: Path) -> None:
    names = [path.relative_to(expected) for pattern in SAME for path in sorted(expected.glob(pattern))]
    assert len(names) > 20
    for name in names:
        if name.name == "train.csv":  # timed
            rows = [pd.read_csv(folder / name).drop(columns=list(TIMES)) for folder in (found, expected)]
            pd.testing.assert_frame_equal(*rows, check_exact=True)
        else:
            assert (found / name).read_bytes() == (expected / name).read_bytes(), name
    main = [pd.read_csv(folder / "tables/main.csv")[QUALITY] for folder in (found, expected)]
    pd.testing.assert_frame_equal(*main, check_exact=True)
    assert not list(found.rglob(".*.part*"))
    assert not (found / "checkpoints").exists() or not list((found / "checkpoints").rglob("*.pt"))
    verified = subprocess.run(["paumer", "verify", str(found)], capture_output=True, text=True, cwd=REPOSITORY)
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.exhaustive
def test_killed_at_random_moments(tmp_path: Path) -> None:
    seed = int(os.environ.get("PAUMER_KILL_SEED", random.randrange(10**6)))
    draw = random.Random(seed)
    whole = Pipeline(tmp_path / "whole")
    started = time.monotonic()
    assert whole.run()
    seconds = time.monotonic() - started
    print(f"seed {seed}; undisturbed: {seconds:.0f} s, {whole.finished.total()} jobs", file=sys.stderr)
    kills, runs = 0, [Pipeline(tmp_path / "killed0")]
    while kills < KILLS:
        # Every fourth time Snakemake dies alone, and its job has to notice.
        moment, everything = draw.uniform(0, seconds / 4), draw.random() < 0.75
        if runs[-1].run(moment, everything):
            runs.append(Pipeline(tmp_path / f"killed{len(runs)}"))
            continue
        kills += 1
        what = "all of it" if everything else "Snakemake alone"
        print(f"kill {kills}: {what} after {moment:.1f} s, {runs[-1].finished.total()} jobs done", file=sys.stderr)
    assert runs[-1].run()
    for run in runs:
        assert set(run.finished.values()) == {1}, run.finished  # what was finished was not done again
        assert run.finished.keys() == whole.finished.keys()
        assert_same_results(run.results, whole.results)
    print(f"{kills} kills in {len(runs)} runs, {len(whole.finished)} jobs each: nothing lost", file=sys.stderr)
