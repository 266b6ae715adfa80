"""What Snakemake shows of a small workflow, with its own rules and logs."""

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from paumer.system.terminal import approximate

TIME = r"\d\d:\d\d"
SNAKEFILE = """\
from paumer.system import terminal

terminal.INTERVAL = 0.05
terminal.follow(workflow)
terminal.follow(workflow)  # as a second module would


rule all:
    input:
        "second.txt",
    message:
        "All is there"


rule first:
    output:
        "first.txt",
    log:
        "first.log",
    resources:
        expected_seconds=600,
    message:
        "Making the first"
    shell:
        "echo 'first: 1 of 4 in 00:20, 01:00 to go' > {log}; sleep 0.6; touch {output}"


rule second:
    input:
        "first.txt",
    output:
        "second.txt",
    log:
        "second.log",
    message:
        "Making the second"
    shell:
        "sleep 0.6; echo 'it broke' > {log}; %s {output}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Snakefile").write_text(SNAKEFILE % "touch", encoding="utf-8")
    (tmp_path / "second.log").write_text("second: 3 of 4 in 00:20, 00:09 to go\n", encoding="utf-8")  # of another run
    return tmp_path


def run(folder: Path, *options: str) -> str:
    command = ["snakemake", "--cores", "1", "--nolock", *options]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout + finished.stderr


def run_on_terminal(folder: Path, *options: str) -> str:
    """What a terminal gets to see of a run, be it a failing one."""
    ours, its = pty.openpty()
    command = ["snakemake", "--cores", "1", "--nolock", *options]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "40"}
    with subprocess.Popen(command, stdout=its, stderr=its, cwd=folder, env=environment):
        os.close(its)
        said = b""
        try:
            while part := os.read(ours, 4096):
                said += part
        except OSError:  # all of it was read
            pass
    os.close(ours)
    return said.decode()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (20, "less than a minute"),
        (89, "about 1 min"),
        (24 * 60, "about 24 min"),
        (100 * 60, "about 1.7 hours"),
        (30 * 3600, "about 30 hours"),
        (80 * 3600, "about 3 days"),
    ],
)
def test_times_are_said_as_roughly_as_they_are_known(seconds: float, text: str) -> None:
    assert approximate(seconds) == text


def test_each_job_is_a_block_with_where_it_stands(folder: Path) -> None:
    said = run(folder, "--quiet", "reason", "host")
    assert "3 jobs: first, second, all\nEstimated time: about 10 min, corrected while jobs run\n" in said
    first, second, last = re.findall(r"\n\n\[[^]]+\]\nJob \d: (.+?)(?=\n\n|\Z)", said, flags=re.DOTALL)
    assert re.fullmatch(
        r"Making the first\n"
        rf"(0 of 3 jobs done in {TIME}, about 10 min to go; job 2: {TIME} so far\n)*"  # it has not written yet
        rf"(0 of 3 jobs done in {TIME}, about 1 min to go; job 2: first: 1 of 4 in 00:20, 01:00 to go\n)+"
        rf"Finished jobid: 2 \(Rule: first\) after {TIME}\n"
        rf"1 of 3 jobs done in {TIME}, less than a minute to go",
        first,
    )
    assert re.search(rf"\n1 of 3 jobs done in {TIME}, less than a minute to go; job 1: {TIME} so far\n", second)
    assert "job 1: second" not in second  # what another run left in the log
    assert last.startswith("All is there\n") and re.search(rf"\n3 of 3 jobs done in {TIME}\n", last)


def test_a_terminal_shows_lines_that_are_written_anew_and_a_failure_whole(folder: Path) -> None:
    (folder / "Snakefile").write_text(SNAKEFILE % "false", encoding="utf-8")
    said = run_on_terminal(folder, "--quiet", "reason", "host", "--show-failed-logs").replace("\r\n", "\n")
    erased = "\r\x1b[K\x1b[A\x1b[K"
    lines = [text.rpartition("\x1b[0m\n")[2].split("\n") for text in said.split(erased)[:-1]]
    assert all(len(standing) == 2 for standing in lines)
    assert any(job == "job 2: first: 1 of 4 in 00:20, 01:00 to" for _, job in lines)  # 39 columns of 40
    assert all(re.match(rf"[01] of 3 jobs done in {TIME}, ", run) and len(run) <= 39 for run, _ in lines)
    assert re.search(r"^Logfile second\.log:\n=+\nit broke\n=+", said, flags=re.MULTILINE)


def test_a_plan_ends_with_the_time(folder: Path) -> None:
    said = run(folder, "--dry-run")
    assert re.search(
        r"^job +count\n.*?\n\nEstimated time on this machine: about 10 min$", said, re.DOTALL | re.MULTILINE
    )
    assert "jobs done" not in said and not (folder / "first.txt").exists()


@pytest.mark.exhaustive
def test_quiet_is_quiet(folder: Path) -> None:
    said = run(folder, "--quiet", "progress")
    assert "Making the first" in said
    assert "to go" not in said and "Estimated" not in said
