"""The command line: help at once, mistakes as one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from paumer import cli

VERBS = ["doctor", "schema", "data", "samples", "bounds", "train", "evaluate", "semantics", "flops", "throughput"]
VERBS += ["collect", "tables", "ablation", "speed", "maps", "figures", "report", "paper", "provenance", "verify"]
VERBS += ["tune", "predict", "demo", "export"]


def fail(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """Run `paumer` in this process; give its one line of error."""
    monkeypatch.setattr(sys, "argv", ["paumer", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("paumer: error: ")
    assert not any("Traceback" in line for line in lines)
    return lines[-1]


def test_help_shows_the_verbs_in_pipeline_order() -> None:
    text = subprocess.run(["paumer", "--help"], capture_output=True, text=True, check=True).stdout
    listed = text[text.index("Commands:") :].split("\n")[1:]
    assert [line.split()[0] for line in listed if line.startswith("  ") and not line.startswith("   ")] == VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_imports_no_torch_for_it(verb: str) -> None:
    code = f"import sys; sys.argv = ['paumer', '{verb}', '--help']\nfrom paumer.cli import app\n"
    code += "try:\n    app()\nexcept SystemExit:\n    pass\nassert 'torch' not in sys.modules"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert "Usage" in finished.stdout


def test_data_fetches_a_named_dataset(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    line = fail(capsys, monkeypatch, "data", "imagenet", "--output", str(tmp_path / "imagenet"), "--threads", "1")
    assert "imagenet: no dataset that is fetched; use cityscapes, camvid, ade20k" in line
    folder = tmp_path / "camvid"
    folder.mkdir()
    (folder / "precious.txt").write_text("precious")
    line = fail(capsys, monkeypatch, "data", "camvid", "--output", str(folder), "--threads", "1")
    assert f"{folder}: holds files that were not fetched" in line


def test_unknown_setting(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    output = tmp_path / "data.json"
    line = fail(capsys, monkeypatch, "data", "--settings", "{datset: camvid}", "--output", str(output))
    assert "unknown key 'datset'; did you mean 'dataset'?" in line
    assert not output.exists()


@pytest.mark.parametrize("text", ["{dataset: [", "{", "nowhere.yaml"])
def test_settings_that_are_no_yaml(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    line = fail(capsys, monkeypatch, "data", "--settings", text, "--output", str(tmp_path / "data.json"))
    assert "YAML" in line


def test_missing_manifest(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    line = fail(
        capsys, monkeypatch, "samples", "--data", str(tmp_path / "data.json"), "--output", str(tmp_path / "x.png")
    )
    assert "data.json: no such file" in line


def test_unfinished_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arguments = ["evaluate", "--settings", "{}", "--data", "data.json", "--run", str(tmp_path)]
    line = fail(capsys, monkeypatch, *arguments, "--output", str(tmp_path / "accuracy.csv"))
    assert f"{tmp_path}: holds no trained network, for it has neither run.json nor config.json" in line


def test_doctor_finds_this_machine_fit() -> None:
    finished = subprocess.run(["paumer", "doctor"], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout
    assert "ok    torch and torchvision: fit together" in finished.stdout
