"""The command line: help at once, mistakes as one line."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from command_line import CommandLine
from tiers import named

import paumer

VERBS = ["doctor", "schema", "data", "colours", "samples", "bounds", "train", "evaluate", "semantics"]
VERBS += [
    "robustness",
    "flops",
    "candidates",
    "choose",
    "throughput",
    "collect",
    "uncertainty",
    "tables",
    "ablation",
    "speed",
    "maps",
    "figures",
    "report",
]
VERBS += ["paper", "provenance"]
VERBS += ["verify", "merge", "compare", "tune", "predict", "demo", "export", "check", "new"]
HELP = """
import sys
from paumer.cli import app
for verb in sys.argv[1:]:
    app([verb, "--help"], prog_name="paumer", standalone_mode=False)
    assert "torch" not in sys.modules, verb
"""


def test_help_shows_the_verbs_in_pipeline_order() -> None:
    text = subprocess.run(["paumer", "--help"], capture_output=True, text=True, check=True).stdout
    listed = text[text.index("Commands:") :].split("\n")[1:]
    assert [line.split()[0] for line in listed if line.startswith("  ") and not line.startswith("   ")] == VERBS


def test_version(command_line: CommandLine) -> None:
    assert command_line.run("--version")[1].strip() == paumer.__version__ == version("paumer")


def test_every_verb_has_help_and_imports_no_torch_for_it() -> None:
    finished = subprocess.run([sys.executable, "-c", HELP, *VERBS], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert re.findall(r"^Usage: paumer (\w+)", finished.stdout, flags=re.MULTILINE) == VERBS


def test_data_fetches_a_named_dataset(command_line: CommandLine, tmp_path: Path) -> None:
    line = command_line.refuse("data", "imagenet", "--output", str(tmp_path / "imagenet"), "--threads", "1")
    assert "imagenet: no dataset that is fetched; use cityscapes, camvid, ade20k" in line
    folder = tmp_path / "camvid"
    folder.mkdir()
    (folder / "precious.txt").write_text("precious")
    line = command_line.refuse("data", "camvid", "--output", str(folder), "--threads", "1")
    assert f"{folder}: holds files that were not fetched" in line


def test_unknown_setting(command_line: CommandLine, tmp_path: Path) -> None:
    output = tmp_path / "data.json"
    line = command_line.refuse("data", "--settings", "{datset: camvid}", "--output", str(output))
    assert "unknown key 'datset'; did you mean 'dataset'?" in line
    assert not output.exists()


@pytest.mark.parametrize("text", ["{dataset: [", "{", "nowhere.yaml"])
def test_settings_that_are_no_yaml(text: str, command_line: CommandLine, tmp_path: Path) -> None:
    line = command_line.refuse("data", "--settings", text, "--output", str(tmp_path / "data.json"))
    assert "YAML" in line


def test_missing_manifest(command_line: CommandLine, tmp_path: Path) -> None:
    line = command_line.refuse("samples", "--data", str(tmp_path / "data.json"), "--output", str(tmp_path / "x.png"))
    assert "data.json: no such file" in line


def test_unfinished_run(command_line: CommandLine, tmp_path: Path) -> None:
    arguments = ["evaluate", "--settings", "{}", "--data", "data.json", "--run", str(tmp_path)]
    line = command_line.refuse(*arguments, "--output", str(tmp_path / "accuracy.csv"))
    assert f"{tmp_path}: holds no trained network, for it has neither run.json nor config.json" in line


# Verbs with FILE where a folder is expected, or below one; the others have FOLDER where a file is.
MISPLACED = {
    "data cityscapes --output FILE": "FILE: is a file; name a folder",
    "data --settings {dataset:scenes,folder:FILE} --output x.json": "FILE: is a file; name a folder",
    "data --settings {dataset:folder,folder:FILE} --output x.json": "FILE/classes.yaml: no such file",
    "data --output FOLDER": "FOLDER: is a folder; name a file, as FOLDER/name.json",
    "predict demo -i FOLDER -o FILE/deep": "FILE: is a file; name a folder",
    "export hub demo --output FILE/deep": "FILE: is a file; name a folder",
    "export hub demo --output FILE": "FILE: is a file; name a folder",
    "train --settings {backbone:{name:a}} --data x.json --output FILE --checkpoint x": "FILE: is a file; name a folder",
    "train --settings {backbone:{name:a}} --data x.json --output x --checkpoint FILE": "FILE: is a file; name a folder",
    "verify FILE": "FILE: is no folder; name results/EXPERIMENT",
    "verify nowhere": "nowhere: no such folder; name results/EXPERIMENT",
    "verify FOLDER": "FOLDER/data.json: no data.json in a folder above it",
    "tune demo --data FOLDER --speedup 2": "FOLDER: not readable as JSON ([Errno 22] is no plain file)",
    "samples --data FILE --output x.png": "FILE: not readable as JSON",
}


@pytest.mark.parametrize(
    "line", named(MISPLACED, "data cityscapes --output FILE", "verify nowhere", "data --output FOLDER")
)
def test_files_in_the_place_of_folders_and_folders_in_that_of_files(
    line: str, command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text("mine")
    Path("FOLDER").mkdir()
    assert MISPLACED[line] in command_line.refuse(*(word.replace(":", ": ") for word in line.split())).replace(
        f"{tmp_path}/", ""
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["FILE", "FOLDER"]
    assert Path("FILE").read_text() == "mine"


def test_doctor_finds_this_machine_fit(command_line: CommandLine) -> None:
    code, printed, _ = command_line.run("doctor")
    assert code == 0, printed
    assert "ok    torch and torchvision: fit together" in printed
