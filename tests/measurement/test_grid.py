"""The grid of the stage `throughput`: sizes, number types, modes, scopes, and what is noted about the machine."""

import json
from itertools import chain, repeat

import pandas as pd
import pytest
import torch

from paumer.config.measuring import SweepItem, Throughput
from paumer.config.network import Backbone, Heads
from paumer.config.runs import CostSettings
from paumer.measurement import timing
from paumer.measurement.throughput import throughput
from paumer.system import machine as watched
from paumer.system.machine import OtherLoad, PeakMemory

CPU = torch.device("cpu")
OPTIONS = {"patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2}
NET = Backbone(name="net", architecture="vit_tiny_patch16_224", options=OPTIONS)
SHORT = {"rounds": 3, "block_seconds": 0.001}


@pytest.fixture
def measure(manifest, tmp_path):
    """Run the stage; give its table, its rounds and its note on the machine."""

    def run(**described) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
        settings = CostSettings(
            device="cpu",
            backbones=[NET],
            heads=Heads(blocks=(2,)),
            recipes=(),
            sweep=(SweepItem(strategy="pause", schedules=("2:0.4",)),),
            throughput=Throughput(**({"batches": (1,)} | SHORT | described)),
        )
        paths = [tmp_path / name for name in ("table.csv", "rounds.csv", "machine.json")]
        throughput(settings, manifest, {}, *paths)
        table, rounds = (pd.read_csv(path, keep_default_na=False) for path in paths[:2])
        return table, rounds, json.loads(paths[2].read_text())

    return run


def settings_of(table: pd.DataFrame) -> set[tuple]:
    return set(table[["height", "width", "dtype", "mode", "scope", "batch"]].itertuples(index=False, name=None))


def test_every_combination_is_measured(measure) -> None:
    table, rounds, _ = measure(
        batches=(1, 2), dtypes=("float32", "bfloat16"), scopes=("logits", "labels"), sizes={"net": ((32, 64), (24, 40))}
    )
    expected = {
        (*size, dtype, "eager", scope, batch)
        for size in ((32, 64), (24, 40))
        for dtype in ("float32", "bfloat16")
        for scope in ("logits", "labels")
        for batch in (1, 2)
    }
    assert settings_of(table) == settings_of(rounds) == expected
    for _, group in table.groupby(["height", "width", "dtype", "scope", "batch"]):
        assert list(group["strategy"]) == ["dense", "pause", "dense-again"]
    floor = table.loc[table["strategy"] == "pause", ["floor_low", "floor_high"]].astype(float)  # empty elsewhere: text
    assert (floor["floor_low"] <= floor["floor_high"]).all()


def test_a_size_larger_than_the_images_is_measured_all_the_same(measure) -> None:
    table, _, _ = measure(sizes={"net": ((64, 64),)})
    assert settings_of(table) == {(64, 64, "float32", "eager", "logits", 1)}


def test_explicit_attention_is_one_more_row(measure) -> None:
    table, _, _ = measure(explicit_attention=True)
    assert list(table["strategy"]) == ["dense", "pause", "explicit-attention", "dense-again"]
    assert set(table["status"]) == {"ok"}


def test_what_a_mode_cannot_do_here_is_skipped_and_the_rest_is_measured(measure, capsys) -> None:
    table, rounds, _ = measure(modes=("eager", "cuda-graphs"))
    assert set(table[table["mode"] == "eager"]["status"]) == {"ok"}
    assert set(table[table["mode"] == "cuda-graphs"]["status"]) == {"skipped"}
    assert set(rounds["mode"]) == {"eager"}
    assert "pause 2:0.4 left out: CUDA graphs need a CUDA device" in capsys.readouterr().out


def test_a_compiler_that_fails_costs_its_rows_alone(measure, monkeypatch, capsys) -> None:
    def broken(*arguments, **options):
        def run(images):
            raise RuntimeError("no compiler here")

        return run

    monkeypatch.setattr(torch, "compile", broken)
    table, _, _ = measure(modes=("eager", "compile"))
    assert set(table[table["mode"] == "compile"]["status"]) == {"skipped"}
    assert set(table[table["mode"] == "eager"]["status"]) == {"ok"}
    assert "left out: no compiler here" in capsys.readouterr().out


def test_compile_time_is_what_the_first_call_takes_longer(measure, monkeypatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda run, **options: run)
    seconds = chain([5.0, 1.0, 7.0, 1.5, 2.0, 1.0, 3.0, 1.0], repeat(1.0))
    monkeypatch.setattr(timing, "time_block", lambda run, device, calls: next(seconds))
    table, _, _ = measure(modes=("compile",))
    assert list(table["compile_s"]) == [4.0, 5.5, 1.0]


def test_the_machine_is_described(measure) -> None:
    _, _, machine = measure()
    assert set(machine["code"]) == {"version", "revision"}
    assert machine["environment"]["threads"] == str(torch.get_num_threads())
    assert {"torch", "device", "clocks before", "clocks after"} <= set(machine["environment"])


def test_quick_takes_the_first_of_everything() -> None:
    sizes = {"net": ((32, 64), (24, 40))}
    several = {"batches": (2, 4), "dtypes": ("bfloat16", "float32"), "scopes": ("labels", "logits"), "sizes": sizes}
    settings = Throughput(**several, rounds=30)
    quick = settings.quick()
    assert quick.sizes == {"net": ((32, 64),)}
    assert (quick.batches, quick.dtypes, quick.scopes, quick.modes) == ((2,), ("bfloat16",), ("labels",), ("eager",))
    assert quick.rounds == 5
    assert quick.block_seconds < settings.block_seconds
    assert Throughput(rounds=3).quick().rounds == 3


def test_other_load_is_what_others_kept_busy(monkeypatch) -> None:
    monkeypatch.setattr(watched.time, "perf_counter", iter([10.0, 14.0]).__next__)
    monkeypatch.setattr(watched, "_busy_seconds", iter([100.0, 109.0]).__next__)
    monkeypatch.setattr(watched, "_own_seconds", iter([50.0, 57.0]).__next__)
    assert OtherLoad().processors() == pytest.approx(0.5)


def test_peak_memory_counts_what_a_call_needed_and_gave_back() -> None:
    memory = PeakMemory(CPU)
    del (large := [torch.ones(2**20) for _ in range(64)])[:]
    assert large == []
    peak = memory.megabytes()
    assert peak != peak or 200 < peak < 400  # 256 MB, where the operating system tells
