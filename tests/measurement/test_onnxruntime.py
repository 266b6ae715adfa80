"""Mode `onnxruntime` of the stage `throughput`: its own dense baseline, the same inputs and threads."""

import json
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import torch

from paumer.config.measuring import Evaluation, SweepItem, Throughput
from paumer.config.network import Backbone, Heads
from paumer.config.runs import CostSettings
from paumer.measurement import modes
from paumer.measurement.modes import callable_of
from paumer.measurement.throughput import throughput
from paumer.models import graphs as onnx_model
from paumer.models import graphs as session
from paumer.models.graphs import trace
from paumer.strategies.notation import Schedule
from paumer.strategies.pause import Pause
from paumer.system.errors import PaumerError

OPTIONS = {"patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 1}
NET = Backbone(name="net", architecture="vit_tiny_patch16_224", options=OPTIONS)
MODES = ("eager", "onnxruntime")
NUMBERS = ["images_per_s", "speedup", "speedup_low", "speedup_high", "floor_ratio", "peak_memory_mb", "compile_s"]


def settings_of(**described) -> CostSettings:
    return CostSettings(
        device="cpu",
        backbones=[NET],
        heads=Heads(blocks=(1,)),
        recipes=(),
        sweep=(SweepItem(strategy="pause", schedules=("1:0.4",)),),
        throughput=Throughput(**({"batches": (1, 3), "rounds": 3, "block_seconds": 0.001} | described)),
    )


def measure(manifest, folder, **described) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Run the stage; give its table, its rounds and its note on the machine."""
    paths = [folder / name for name in ("throughput.csv", "rounds.csv", "machine.json")]
    throughput(settings_of(**described), manifest, {}, *paths)
    table, rounds = (
        pd.read_csv(path, keep_default_na=False, na_values={key: [""] for key in NUMBERS}) for path in paths[:2]
    )
    return table, rounds, json.loads(paths[2].read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("throughput")


@pytest.fixture(scope="module")
def exported() -> list[str]:
    """The strategies that were exported while the stage ran, in turn."""
    return []


@pytest.fixture(scope="module")
def measured(manifest, folder, exported):
    def note(model, strategy, *arguments):
        exported.append(f"{strategy.name} {strategy.schedule_text}")
        return trace(model, strategy, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modes, "trace", note)
        return measure(manifest, folder, modes=MODES)


@pytest.mark.exhaustive
def test_every_operating_point_is_timed_beside_eager(measured) -> None:
    table, rounds, _ = measured
    for _, rows in table.groupby(["mode", "batch"]):
        assert list(rows["strategy"]) == ["dense", "pause", "dense-again"]
    assert list(table["mode"].unique()) == list(MODES)
    assert set(table["status"]) == {"ok"}
    assert (table["images_per_s"] > 0).all()
    assert table.loc[table["mode"] == "onnxruntime", "peak_memory_mb"].isna().all()  # it keeps its memory
    timed = rounds.groupby(["mode", "batch"])["variant"].value_counts()
    assert set(timed) == {3}
    assert len(timed) == 2 * 2 * 4  # the floor, too


@pytest.mark.exhaustive
def test_every_variant_is_exported_once_for_all_batch_sizes(measured, exported) -> None:
    table, _, _ = measured
    assert Counter(exported) == {"dense dense": 2, "pause 1:0.4": 1, "floor 1:0.4": 1}  # dense and dense again
    assert table.loc[table["mode"] == "onnxruntime", "compile_s"].notna().all()  # exporting is told apart


def test_other_number_types_are_rows_that_say_so(manifest, tmp_path, capsys) -> None:
    table, rounds, _ = measure(manifest, tmp_path, modes=("onnxruntime",), dtypes=("bfloat16",), batches=(1,))
    assert set(table["status"]) == {"skipped"}
    assert rounds.empty
    assert "pause 1:0.4 left out: onnxruntime runs float32 here, not bfloat16" in capsys.readouterr().out


def test_without_the_package_the_stage_says_what_to_install(manifest, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(onnx_model, "find_spec", lambda name: None if name == "onnxruntime" else find_spec(name))
    with pytest.raises(PaumerError, match=r"^onnxruntime: not installed, .* pip install 'paumer\[onnx\]'$"):
        measure(manifest, tmp_path, modes=("onnxruntime",))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def model(make):
    return make(options=OPTIONS, heads=(1,), classes=3)


def test_class_ids_are_those_of_eager(model) -> None:
    pause, images = Pause(Schedule("1:0.4")), torch.randn(3, 3, 32, 64)
    with torch.inference_mode():
        eager, exported = (callable_of(model, pause, "labels", mode)(images) for mode in MODES)
    assert exported.dtype == eager.dtype
    assert (exported == eager).float().mean() > 0.99


@pytest.mark.exhaustive
def test_full_images_run_in_windows_with_the_threads_of_torch(model, monkeypatch) -> None:
    """Five windows, and then three: a session takes any number of them."""
    import onnxruntime

    made, create = [], onnxruntime.InferenceSession

    def watch(source, options, **others):
        made.append((options.intra_op_num_threads, options.inter_op_num_threads))
        return create(source, options, **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", watch)
    torch.set_num_threads(2)
    pause, images = Pause(Schedule("1:0.4")), torch.randn(2, 3, 32, 64)
    evaluation = Evaluation(inference="sliding", window=(32, 24), stride=(32, 16), batch=5)
    with torch.inference_mode():
        eager, exported = (callable_of(model, pause, "image", mode, evaluation)(images) for mode in MODES)
    assert (exported == eager).float().mean() > 0.99
    assert made == [(2, 1)]


def test_a_gpu_needs_its_provider(monkeypatch) -> None:
    gpu = torch.device("cuda:1")
    with pytest.raises(PaumerError, match=r"this build has no CUDA provider; .* pip install onnxruntime-gpu"):
        session.providers(gpu)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [session.CUDA, "CPUExecutionProvider"])
    assert session.providers(gpu) == [(session.CUDA, {"device_id": 1, "use_tf32": 0}), "CPUExecutionProvider"]
