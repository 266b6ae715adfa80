"""The table of every timing, which needs no accuracy."""

import pandas as pd
import pytest
from synthetic import BACKBONES, BATCHES, EXPLICIT, SETTINGS, SIZES, SKIPPED, UNCOMPILED

from paumer.reporting.tables.comparisons import OURS, published_table
from paumer.reporting.tables.main import main_sheet, main_table
from paumer.reporting.tables.speed import COLUMNS, read_speed, speed_sheet, speed_table, write_speed
from paumer.system.errors import PaumerError

GROUP = ["backbone", "dtype", "mode", "scope", "height", "width", "batch"]
KEYS = [*GROUP, "recipe", "strategy", "criterion", "schedule"]


@pytest.fixture
def speed(reported):
    return read_speed(reported.tables / "speed.csv")


@pytest.fixture
def timings(reported):
    return pd.read_csv(reported.measured.throughput, keep_default_na=False, na_values={"speedup": [""]})


def rows_of(table, **wanted):
    return table[(table[list(wanted)] == list(wanted.values())).all(axis=1)]


def row_of(table, *, height=96, mode="eager", **wanted):
    setting = {"backbone": "tiny", "recipe": "", "dtype": "float32", "scope": "logits", "batch": 1}
    found = rows_of(table, **(setting | {"height": height, "mode": mode} | wanted))
    assert len(found) == 1
    return found.iloc[0]


def test_every_timing_has_its_row_but_the_null_variants(speed, timings):
    assert list(speed.columns) == COLUMNS
    kept = timings[timings["strategy"] != "dense-again"]
    assert len(kept) < len(timings)
    assert list(speed[KEYS].itertuples(index=False)) == list(kept[KEYS].itertuples(index=False))
    groups = sum(len(SIZES[backbone]) for backbone in BACKBONES) * len(SETTINGS) * len(BATCHES)
    assert len(speed[GROUP].drop_duplicates()) == groups


def test_numbers_are_those_measured(speed, timings):
    for name in ("images_per_s", "speedup_low", "floor_high", "peak_memory_mb", "compile_s", "other_load"):
        kept = pd.to_numeric(timings.loc[timings["strategy"] != "dense-again", name])
        assert kept.notna().any()
        assert speed[name].to_numpy() == pytest.approx(kept.to_numpy(), abs=1e-4, nan_ok=True)


def test_latency_is_the_time_of_one_batch(speed):
    for batch in BATCHES:
        row = row_of(speed, strategy="pause", schedule="3:0.4", batch=batch)
        assert row["latency_ms"] == pytest.approx(1000 / (row["images_per_s"] / batch), abs=1e-3)


@pytest.mark.parametrize(("height", "gmac"), [(96, 12.8), (48, 3.2)])
def test_gmac_is_that_of_the_input_size(speed, height, gmac):
    assert row_of(speed, strategy="dense", height=height)["gmac"] == pytest.approx(gmac)
    half = row_of(speed, schedule="exit:6", height=height)
    assert half["gmac"] == pytest.approx(gmac / 2)
    assert half["gmac_ratio"] == pytest.approx(2)
    assert half["realised"] == pytest.approx(half["speedup"] / 2, abs=1e-4)


def test_explicit_attention_costs_what_dense_costs(speed):
    for mode in ("eager", "compile"):
        row = row_of(speed, strategy="explicit-attention", mode=mode)
        assert (row["gmac"], row["gmac_ratio"]) == (12.8, 1)
        assert row["realised"] == row["speedup"] == EXPLICIT


def test_dense_realises_itself(speed):
    timed = speed[(speed["strategy"] == "dense") & speed["speedup"].notna()]
    assert set(timed["recipe"]) == {"", "multi-exit", "paumer"}
    assert (timed[["gmac_ratio", "realised"]] == 1).all(axis=None)


def test_unknown_gmac_promise_nothing(speed, measured, edit):
    varying = speed["schedule"].str.contains("@")
    assert speed.loc[varying, ["gmac", "gmac_ratio", "realised"]].isna().all(axis=None)
    assert speed.loc[~varying, "gmac_ratio"].notna().all()
    edit(measured.flops, lambda table: table[(table["height"] != "48") | (table["strategy"] != "dense")])
    lacking = speed_table(measured.flops, measured.throughput)
    small = row_of(lacking, schedule="3:0.4", height=48)
    assert small["gmac"] > 0
    assert pd.isna(small["gmac_ratio"]) and pd.isna(small["realised"])
    assert row_of(lacking, schedule="3:0.4")["gmac_ratio"] > 1


def test_what_was_not_timed_says_why(speed):
    sheet = speed_sheet(speed, [])
    shown = speed.assign(cell=[row[sheet.headings.index("images/s")] for row in sheet.rows])
    assert row_of(shown, schedule=UNCOMPILED, mode="compile")["cell"] == "skipped"
    assert row_of(shown, recipe="paumer", schedule=SKIPPED, batch=8)["cell"] == "skipped"
    assert row_of(shown, backbone="small", height=128, strategy="dense", batch=8)["cell"] == "out of memory"
    assert float(row_of(shown, schedule=UNCOMPILED)["cell"]) > 0
    assert len(sheet.headings) == len(sheet.rows[0])


def test_compiling_takes_time_only_where_something_is_compiled(speed):
    timed = speed[speed["speedup"].notna()]
    assert timed.loc[timed["mode"] == "compile", "compile_s"].notna().all()
    assert timed.loc[timed["mode"] == "eager", "compile_s"].isna().all()


def test_notes_explain_what_is_there(speed):
    notes = " ".join(speed_sheet(speed, ["a warning"]).notes)
    assert "takes 1.33 times as long as dense" in notes
    for word in ("Latency", "Realised", "Time / floor", "Compiling", "Other load", "a warning"):
        assert word in notes
    few = speed[(speed["mode"] == "eager") & (speed["strategy"] == "dense")]
    notes = " ".join(speed_sheet(few.assign(other_load=float("nan")), []).notes)
    for word in ("explicit-attention", "Time / floor", "Compiling", "Other load"):
        assert word not in notes


def test_explicit_attention_spans_all_settings(measured, edit):
    def slower(table):
        here = (table["strategy"] == "explicit-attention") & (table["mode"] == "compile")
        return table.assign(speedup=table["speedup"].mask(here, "0.5"))

    edit(measured.throughput, slower)
    notes = " ".join(speed_sheet(speed_table(measured.flops, measured.throughput), []).notes)
    assert "takes 1.33 to 2.00 times as long as dense" in notes


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


def test_old_timings_are_told_to_run_again(measured, edit):
    edit(measured.throughput, lambda table: table.drop(columns="floor_low"))
    with pytest.raises(PaumerError, match=r"column 'floor_low' is missing; remove the file and run its stage again"):
        speed_table(measured.flops, measured.throughput)


def windows_of_8(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(windows="8.0")


def test_images_are_told_from_windows(measured, edit) -> None:
    plain = speed_table(measured.flops, measured.throughput)
    edit(measured.throughput, windows_of_8)
    edit(measured.flops, windows_of_8)
    speed = speed_table(measured.flops, measured.throughput)
    assert (speed["windows_per_s"] - 8 * speed["images_per_s"]).abs().max() < 1e-3
    assert speed["latency_ms"].dropna().tolist() == pytest.approx((plain["latency_ms"] / 8).dropna().tolist(), abs=1e-3)
    sheets = [speed_sheet(plain, []), speed_sheet(speed, [])]
    assert ["windows/s (windows an image)" in sheet.headings for sheet in sheets] == [False, True]
    assert [any("whole images" in note for note in sheet.notes) for sheet in sheets] == [False, True]
    assert {len(row) for row in sheets[1].rows} == {len(sheets[1].headings)}
    first = dict(zip(sheets[1].headings, sheets[1].rows[0], strict=True))
    assert float(first["windows/s (windows an image)"].split()[0]) == pytest.approx(
        8 * float(first["images/s"]), rel=0.01
    )


def test_main_table_is_of_whole_images_and_published_figures_of_windows(measured, edit) -> None:
    plain = main_table(measured.accuracy, measured.flops, measured.throughput)
    edit(measured.throughput, windows_of_8)
    edit(measured.flops, windows_of_8)
    main = main_table(measured.accuracy, measured.flops, measured.throughput)
    fixed = ~main["varies"]
    assert main.loc[fixed, "gmac"].tolist() == pytest.approx((8 * plain.loc[fixed, "gmac"]).tolist(), abs=1e-3)
    assert main["images_per_s"].equals(plain["images_per_s"])
    sheets = [main_sheet(plain, []), main_sheet(main, [])]
    assert ["windows/s, batch 1" in sheet.headings for sheet in sheets] == [False, True]
    assert [any("windows, of which an image has 8" in note for note in sheet.notes) for sheet in sheets] == [
        False,
        True,
    ]
    assert {len(row) for row in sheets[1].rows} == {len(sheets[1].headings)}
    published = [
        published_table(table, measured.published, measured.data, measured.flops, measured.throughput)
        for table in (plain, main)
    ]
    ours = [table[(table["source"] == OURS) & (table["setting"] == "dense")].iloc[0] for table in published]
    assert ours[1]["gmac"] == pytest.approx(ours[0]["gmac"], abs=1e-3)
    assert ours[1]["images_per_s"] == pytest.approx(8 * ours[0]["images_per_s"], abs=1e-2)
