"""The table of every timing, which needs no accuracy, and the null variants behind its warnings."""

import pandas as pd
import pytest
from synthetic import BACKBONES, BATCHES, EXPLICIT, OTHER_LOAD, SETTINGS, SIZES, SKIPPED, UNCOMPILED

from paumer.reporting.tables.main import main_sheet, main_table
from paumer.reporting.tables.noise import null_sheet
from paumer.reporting.tables.published import OURS, published_table
from paumer.reporting.tables.speed import COLUMNS, read_speed, speed_sheet, speed_table, write_speed
from paumer.system.errors import PaumerError

GROUP = ["backbone", "dtype", "mode", "scope", "height", "width", "batch"]
KEYS = [*GROUP, "recipe", "strategy", "criterion", "schedule"]
WINDOWS = "windows/s (windows an image)"


@pytest.fixture
def speed(reported):
    return read_speed(reported.tables / "speed.csv")


@pytest.fixture
def in_windows(measured, edit):
    """The measurements as if every image were eight windows."""
    for path in (measured.throughput, measured.flops):
        edit(path, lambda table: table.assign(windows="8.0"))
    return measured


def row_of(table, *, height=96, mode="eager", **wanted):
    wanted = {"backbone": "tiny", "recipe": "", "dtype": "float32", "scope": "logits", "batch": 1} | wanted
    wanted |= {"height": height, "mode": mode}
    found = table[(table[list(wanted)] == list(wanted.values())).all(axis=1)]
    assert len(found) == 1
    return found.iloc[0]


def test_every_timing_has_its_row_but_the_null_variants(speed, reported):
    timings = pd.read_csv(reported.measured.throughput, keep_default_na=False)
    assert list(speed.columns) == COLUMNS
    kept = timings[timings["strategy"] != "dense-again"]
    assert len(kept) < len(timings)
    assert list(speed[KEYS].itertuples(index=False)) == list(kept[KEYS].itertuples(index=False))
    groups = sum(len(SIZES[backbone]) for backbone in BACKBONES) * len(SETTINGS) * len(BATCHES)
    assert len(speed[GROUP].drop_duplicates()) == groups
    for name in ("images_per_s", "speedup_low", "floor_high", "peak_memory_mb", "compile_s", "other_load"):
        numbers = pd.to_numeric(kept[name])
        assert numbers.notna().any()
        assert speed[name].to_numpy() == pytest.approx(numbers.to_numpy(), abs=1e-4, nan_ok=True)


@pytest.mark.parametrize(("height", "gmac"), [(96, 12.8), (48, 3.2)])
def test_gmac_is_that_of_the_input_size(speed, height, gmac):
    assert row_of(speed, strategy="dense", height=height)["gmac"] == pytest.approx(gmac)
    half = row_of(speed, schedule="exit:6", height=height)
    assert half[["gmac", "gmac_ratio"]].tolist() == pytest.approx([gmac / 2, 2])
    assert half["realised"] == pytest.approx(half["speedup"] / 2, abs=1e-4)


def test_dense_realises_itself_and_explicit_attention_costs_the_same(speed):
    timed = speed[(speed["strategy"] == "dense") & speed["speedup"].notna()]
    assert (timed[["gmac_ratio", "realised"]] == 1).all(axis=None)
    for mode in ("eager", "compile"):
        row = row_of(speed, strategy="explicit-attention", mode=mode)
        assert row[["gmac", "gmac_ratio", "realised", "speedup"]].tolist() == [12.8, 1, EXPLICIT, EXPLICIT]


def test_unknown_gmac_promise_nothing(speed, measured, edit):
    varying = speed["schedule"].str.contains("@")
    assert speed.loc[varying, ["gmac", "gmac_ratio", "realised"]].isna().all(axis=None)
    assert speed.loc[~varying, "gmac_ratio"].notna().all()
    edit(measured.flops, lambda table: table[(table["height"] != "48") | (table["strategy"] != "dense")])
    lacking = speed_table(measured.flops, measured.throughput)
    small = row_of(lacking, schedule="3:0.4", height=48)
    assert small["gmac"] > 0 and small[["gmac_ratio", "realised"]].isna().all()
    assert row_of(lacking, schedule="3:0.4")["gmac_ratio"] > 1


def test_what_was_not_timed_says_why(speed):
    sheet = speed_sheet(speed)
    shown = speed.assign(cell=[row[sheet.headings.index("images/s")] for row in sheet.rows])
    assert row_of(shown, schedule=UNCOMPILED, mode="compile")["cell"] == "skipped"
    assert row_of(shown, recipe="paumer", schedule=SKIPPED, batch=8)["cell"] == "skipped"
    assert row_of(shown, backbone="small", height=128, strategy="dense", batch=8)["cell"] == "out of memory"
    assert float(row_of(shown, schedule=UNCOMPILED)["cell"]) > 0


def test_notes_explain_what_is_there(speed, measured, edit):
    notes = " ".join(speed_sheet(speed, ["a warning"]).notes)
    assert "takes 1.33 times as long as dense" in notes
    for word in ("Latency", "Realised", "Time / floor", "Compiling", "Other load", "a warning"):
        assert word in notes
    few = speed[(speed["mode"] == "eager") & (speed["strategy"] == "dense")]
    notes = " ".join(speed_sheet(few.assign(other_load=float("nan"))).notes)
    for word in ("explicit-attention", "Time / floor", "Compiling", "Other load"):
        assert word not in notes
    here = (speed["strategy"] == "explicit-attention") & (speed["mode"] == "compile")
    slower = speed_sheet(speed.assign(speedup=speed["speedup"].mask(here, 0.5)))
    assert "takes 1.33 to 2.00 times as long as dense" in " ".join(slower.notes)


def test_measuring_alone_is_enough(measured, tmp_path):
    write_speed(measured.flops, measured.throughput, tmp_path / "alone")
    assert {path.name for path in (tmp_path / "alone").iterdir()} == {"speed.csv", "speed.md"}
    text = (tmp_path / "alone/speed.md").read_text()
    assert "3:0.2+6:0.2" in text
    assert "tiny, 48 x 96 pixels, batch 8 (bfloat16, eager, logits; fixed cost)" in text


def test_counted_twice_is_refused(measured, edit, tmp_path):
    edit(measured.flops, lambda table: pd.concat([table, table]))
    with pytest.raises(PaumerError, match=r"flops\.csv: more than one row for backbone tiny.*height 96"):
        write_speed(measured.flops, measured.throughput, tmp_path / "alone")
    assert not (tmp_path / "alone").exists()


def test_images_are_told_from_windows(speed, in_windows) -> None:
    other = speed_table(in_windows.flops, in_windows.throughput)
    assert (other["windows_per_s"] - 8 * other["images_per_s"]).abs().max() < 1e-3
    assert other["latency_ms"].dropna().tolist() == pytest.approx((speed["latency_ms"] / 8).dropna().tolist(), abs=1e-3)
    for table, windows in ((speed, False), (other, True)):
        sheet = speed_sheet(table)
        assert (WINDOWS in sheet.headings) == any("whole images" in note for note in sheet.notes) == windows
        assert {len(row) for row in sheet.rows} == {len(sheet.headings)}
    first = dict(zip(sheet.headings, sheet.rows[0], strict=True))
    assert float(first[WINDOWS].split()[0]) == pytest.approx(8 * float(first["images/s"]), rel=0.01)


def test_main_table_is_of_whole_images_and_published_figures_of_windows(main, reported, in_windows) -> None:
    other = main_table(in_windows.accuracy, in_windows.flops, in_windows.throughput)
    fixed = ~other["varies"]
    assert other.loc[fixed, "gmac"].tolist() == pytest.approx((8 * main.loc[fixed, "gmac"]).tolist(), abs=1e-3)
    assert other["images_per_s"].equals(main["images_per_s"])
    ours = []
    for table, windows, inputs in ((main, False, reported.measured), (other, True, in_windows)):
        sheet = main_sheet(table)
        assert ("windows/s, batch 1" in sheet.headings) == windows
        assert any("windows, of which an image has 8" in note for note in sheet.notes) == windows
        assert {len(row) for row in sheet.rows} == {len(sheet.headings)}
        published = published_table(table, inputs.published, inputs.data, inputs.flops, inputs.throughput)
        ours.append(published[(published["source"] == OURS) & (published["setting"] == "dense")].iloc[0])
    assert ours[1]["gmac"] == pytest.approx(ours[0]["gmac"], abs=1e-3)
    assert ours[1]["images_per_s"] == pytest.approx(8 * ours[0]["images_per_s"], abs=1e-2)


def test_every_group_has_its_null_variant(reported):
    sheet = null_sheet(reported.measured.throughput)
    assert len({tuple(row[:7]) for row in sheet.rows}) == len(sheet.rows)
    groups = ("fixed cost", "multi-exit, cost by image", "paumer, cost by image")
    assert {(row[0], row[1]) for row in sheet.rows} == {(name, group) for name in BACKBONES for group in groups}
    height, width = SIZES["tiny"][0]
    first = ["float32", "eager", "logits", f"{height} x {width}"]
    found = {(row[1], row[6]): row[-2:] for row in sheet.rows if row[0] == "tiny" and row[2:6] == first}
    assert found["paumer, cost by image", "1"] == ["too noisy", "0.10"]
    assert found["multi-exit, cost by image", "8"] == ["quiet", f"{OTHER_LOAD:.2f}"]
    assert {row[-2] for row in sheet.rows if row[0] == "small" and row[6] == "8"} == {""}
