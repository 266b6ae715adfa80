"""Records beside tables, and what cannot be traced. Whole experiments are traced in tests/workflow/test_smoke.py."""

import hashlib
import json
from pathlib import Path

import pytest

from paumer.errors import PaumerError
from paumer.provenance import record, trace
from paumer.stages import EvaluateSettings


def test_a_record_says_what_was_measured_with_what(tmp_path: Path) -> None:
    table, weights = tmp_path / "accuracy.csv", tmp_path / "model.safetensors"
    table.write_text("miou\n1\n", encoding="utf-8")
    weights.write_bytes(b"weights")
    settings = EvaluateSettings(device="cpu", split="test")
    record(table, settings, [weights])
    written = json.loads((tmp_path / "accuracy.json").read_text())
    assert written["settings"] == settings.model_dump(mode="json")
    assert written["inputs"] == {"model.safetensors": hashlib.sha256(b"weights").hexdigest()}
    assert written["sha256"] == hashlib.sha256(b"miou\n1\n").hexdigest()
    assert written["code"]["revision"] and written["environment"]["host"]


def test_what_lies_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PaumerError, match=r"none\.csv: No such file"):
        trace(tmp_path / "none.csv")
    (tmp_path / "some.csv").write_text("a\n", encoding="utf-8")
    with pytest.raises(PaumerError, match=r"no data\.json in a folder above"):
        trace(tmp_path / "some.csv")


def test_a_row_over_seeds_rests_on_all_of_them_and_a_row_of_one_on_its_own(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text("{}", encoding="utf-8")
    for seed in (0, 1):
        folder = tmp_path / f"runs/vit/paumer/seed{seed}"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"seed": seed}), encoding="utf-8")
        (folder / "model.safetensors").write_bytes(b"%d" % seed)
    (tmp_path / "main.csv").write_text("backbone,recipe,strategy,schedule\nvit,paumer,pause,3:0.4\n", encoding="utf-8")
    (tmp_path / "accuracy.csv").write_text("backbone,recipe,strategy,schedule,seed\nvit,paumer,pause,3:0.4,1\n")
    assert trace(tmp_path / "main.csv")["rows"] == {1: ["runs/vit/paumer/seed0", "runs/vit/paumer/seed1"]}
    one = trace(tmp_path / "accuracy.csv")
    assert one["rows"] == {1: ["runs/vit/paumer/seed1"]}
    assert list(one["runs"]) == ["runs/vit/paumer/seed1"]
    assert one["runs"]["runs/vit/paumer/seed1"]["weights_sha256"] == hashlib.sha256(b"1").hexdigest()
    assert set(trace(tmp_path / "runs/vit/paumer/seed0/run.json")["runs"]) == {"runs/vit/paumer/seed0"}
