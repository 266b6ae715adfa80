"""What the README shows is what the repository holds."""

import re
import subprocess
from pathlib import Path

import pytest
from command_line import CommandLine
from tiers import first

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def edges(graph: str) -> set[tuple[str, str]]:
    """The arrows of a graph by rule names; Snakemake numbers and orders them anew each time."""
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", graph))
    return {(names[start], names[end]) for start, end in re.findall(r"(id\d+) --> (id\d+)", graph)}


def test_rule_graph_is_the_workflow() -> None:
    command = ["snakemake", "--rulegraph", "mermaid-js"]
    drawn = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout
    page = (REPOSITORY / "docs/workflow.md").read_text(encoding="utf-8")
    shown = re.search(r"```mermaid\n(.*?)\n```", page, flags=re.DOTALL)
    assert shown
    assert edges(shown[1]) == edges(drawn)
    assert ("train", "evaluate") in edges(drawn)


def test_readme_is_short_and_opens_with_the_committed_result() -> None:
    sentences = (REPOSITORY / "results/reference/scenes/headline.md").read_text(encoding="utf-8").split("\n\n")[0]
    assert len(README.splitlines()) <= 150
    assert sentences.split() == README.split("overview.png)\n\n")[1].split("\n\n")[0].split()


@pytest.mark.parametrize("command", first(re.findall(r"^snakemake .*?(?=\s+#|$)", README, flags=re.MULTILINE)))
def test_its_experiments_can_be_planned(command: str, tmp_path: Path) -> None:
    words = [*command.split(), "-n", "--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(tmp_path)]
    finished = subprocess.run(words, capture_output=True, text=True, cwd=REPOSITORY)
    assert finished.returncode == 0, finished.stderr


def test_commands_install_from_locks_that_exist() -> None:
    job, tests = re.findall(r"```bash\n(.*?)\n```", README, flags=re.DOTALL)[:2]
    assert job.endswith("snakemake --cores 8 all")
    assert tests.endswith("pytest -n auto")
    for lock in re.findall(r"-r (\S+)", job + tests):
        pins = re.sub(r" \\\n +", " ", (REPOSITORY / lock).read_text(encoding="utf-8")).splitlines()
        assert all(re.match(r"#|\S+==\S+( ; [^#]+?)?( --hash=sha256:[0-9a-f]{64})+$", line) for line in pins)


def test_tuning_is_a_command_that_exists(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = (REPOSITORY / "docs/tuning.md").read_text(encoding="utf-8")
    [command] = re.findall(r"^paumer tune .*$", text, flags=re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    line = command_line.refuse(*command.split()[1:])
    assert "no such folder; name that of a finished run" in line  # the options are right, and the run is not there
