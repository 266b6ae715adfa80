"""Records beside tables, and what cannot be traced. Whole experiments are traced in tests/workflow/test_smoke.py."""

import hashlib
import json
from pathlib import Path

import pytest

from paumer.config.runs import EvaluateSettings
from paumer.reporting.reading import refuse_mixed_data
from paumer.reporting.tables.write import collect
from paumer.reporting.verify import trace
from paumer.system.errors import PaumerError
from paumer.system.files import read_json, write_json
from paumer.system.machine import record


def test_a_record_says_what_was_measured_with_what(tmp_path: Path) -> None:
    table, weights = tmp_path / "accuracy.csv", tmp_path / "model.safetensors"
    table.write_text("miou\n1\n", encoding="utf-8")
    weights.write_bytes(b"weights")
    settings = EvaluateSettings(device="cpu", split="test")
    (tmp_path / "data.json").write_text('{"splits": {"test": {"sha256": "abc"}, "val": {}}}', encoding="utf-8")
    record(table, settings, tmp_path / "data.json", weights)
    written = json.loads((tmp_path / "accuracy.json").read_text())
    assert written["settings"] == settings.model_dump(mode="json")
    assert written["inputs"]["model.safetensors"] == hashlib.sha256(b"weights").hexdigest()
    assert written["data"] == {"test": "abc"}
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


def write_accuracy(folder: Path, val: str, trained: str) -> Path:
    """The accuracy of a run that was trained on data of one checksum, and evaluated on that of another."""
    folder.mkdir(parents=True)
    (folder / "accuracy.csv").write_text(f"backbone,miou\n{folder.name},1\n", encoding="utf-8")
    write_json(folder / "accuracy.json", {"data": {"train": "new", "val": val}})
    write_json(folder / "run.json", {"data_sha256": trained, "settings": {"split": "train"}})
    return folder / "accuracy.csv"


def test_rows_of_one_data_are_collected_under_its_checksums(tmp_path: Path) -> None:
    paths = [write_accuracy(tmp_path / name, "v", "t") for name in ("a", "b")]
    collect(paths, tmp_path / "accuracy.csv")
    assert read_json(tmp_path / "accuracy.json")["data"] == {"train": "t", "val": "v"}
    write_json(tmp_path / "data.json", {"splits": {"train": {"sha256": "t"}, "val": {"sha256": "v"}}})
    assert refuse_mixed_data([tmp_path / "data.json", tmp_path / "accuracy.csv"]) == {"train": "t", "val": "v"}


@pytest.mark.parametrize(("val", "trained", "split"), [("other", "t", "val"), ("v", "other", "train")])
def test_rows_of_different_data_are_refused(tmp_path: Path, val: str, trained: str, split: str) -> None:
    paths = [write_accuracy(tmp_path / "a", "v", "t"), write_accuracy(tmp_path / "b", val, trained)]
    with pytest.raises(PaumerError) as caught:
        collect(paths, tmp_path / "accuracy.csv")
    assert str(caught.value).startswith(f"{paths[1]} and {paths[0]}: measured on different data (split {split!r} was")
    assert not (tmp_path / "accuracy.csv").exists()


@pytest.mark.parametrize("name", ["flops", "bounds", "throughput"])
def test_tables_of_other_data_than_described_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.csv").write_text("a\n1\n", encoding="utf-8")
    write_json(tmp_path / "data.json", {"splits": {"val": {"sha256": "v"}}})
    assert refuse_mixed_data([tmp_path / "data.json", tmp_path / f"{name}.csv"]) == {"val": "v"}  # without a record
    write_json(tmp_path / ("machine.json" if name == "throughput" else f"{name}.json"), {"data": {"val": "old"}})
    with pytest.raises(PaumerError, match=rf"{name}\.csv and .*data\.json: measured on different data"):
        refuse_mixed_data([tmp_path / "data.json", tmp_path / f"{name}.csv"])
