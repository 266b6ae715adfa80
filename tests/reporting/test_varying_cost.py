"""Operating points whose cost depends on the image: joined by network and criterion, with their spread."""

import pandas as pd
import pytest
from synthetic import OWN_DENSE

from paumer.reporting.tables.main import main_sheet, main_table
from paumer.system.errors import PaumerError

KEY = ["backbone", "recipe", "strategy", "criterion", "schedule"]
MEASURES = ["images_per_s", "speedup", "speedup_low", "speedup_high"]
COST = ["gmac", "gmac_low", "gmac_high"]


def rows_of(table, **wanted):
    return table[(table[list(wanted)] == list(wanted.values())).all(axis=1)]


@pytest.fixture
def varying(main):
    found = main[main["varies"] & (main["batch"] == 1)]
    assert set(found["strategy"]) == {"adaptive-exit", "token-exit"}
    return found


def test_only_what_depends_on_the_image_has_a_spread(varying, main):
    assert main["gmac_low"].notna().equals(main["varies"])
    assert (varying["gmac_low"] < varying["gmac"]).all()
    assert (varying["gmac"] < varying["gmac_high"]).all()


def test_cost_is_the_mean_over_seeds(varying, accuracy):
    for row in varying.to_dict("records"):
        seeds = rows_of(accuracy, **{name: row[name] for name in KEY})
        assert len(seeds) == seeds["gmac"].nunique() == 2
        assert [row[name] for name in COST] == pytest.approx(seeds[COST].mean().tolist(), abs=1e-4)
        dense = rows_of(accuracy, backbone=row["backbone"], recipe="dense", strategy="dense")["gmac"].mean()
        assert row["gmac_ratio"] == pytest.approx(dense / row["gmac"], abs=1e-3)


def test_counted_cost_stands_above_that_of_accuracy(measured, edit):
    for path in measured.accuracy:
        edit(path, lambda table: table.assign(gmac="1", gmac_low="0.5", gmac_high="2"))
    main = main_table(measured.accuracy, measured.flops, measured.throughput)
    paused = main[main["strategy"] == "pause"]
    assert not (paused["gmac"] == 1).any()
    assert paused["gmac_low"].isna().all()


def test_accuracy_fills_in_for_an_uncounted_point(measured, edit):
    edit(measured.flops, lambda table: table[table["schedule"] != "exit:6"])
    main = main_table(measured.accuracy, measured.flops, measured.throughput)
    row = rows_of(main, backbone="tiny", recipe="paumer", schedule="exit:6").iloc[0]
    assert row["gmac"] == pytest.approx(6.4)
    cells = next(row for row in main_sheet(main).rows if row[:5] == ["tiny", "paumer", "early-exit", "", "exit:6"])
    assert "6.40" in cells  # all images cost the same, so no range
    for path in measured.accuracy:
        edit(path, lambda table: table.assign(gmac=table["gmac"].mask(table["schedule"] == "exit:6", "")))
    with pytest.raises(PaumerError, match=r"flops\.csv: no row for backbone tiny.*schedule exit:6.*run the flops"):
        main_table(measured.accuracy, measured.flops, measured.throughput)


def test_speed_is_that_of_the_network_and_criterion(varying, main, reported):
    timed = pd.read_csv(reported.measured.throughput, keep_default_na=False)
    timed = rows_of(timed, dtype="float32", scope="logits", mode="eager", height=96, batch=1)
    for row in rows_of(varying, backbone="tiny").to_dict("records"):
        [found] = rows_of(timed, **{name: row[name] for name in KEY}).to_dict("records")
        assert [row[name] for name in MEASURES] == pytest.approx([float(found[name]) for name in MEASURES], abs=1e-4)
    exits = rows_of(varying, backbone="tiny", strategy="adaptive-exit", schedule="3@0.9+6@0.9")
    assert exits["images_per_s"].nunique() == 2  # one for each trained network
    dense = rows_of(main, backbone="tiny", strategy="dense", batch=1)
    own = rows_of(timed, backbone="tiny", recipe="paumer", strategy="dense")
    rate = float(own["images_per_s"].iloc[0]) / OWN_DENSE
    assert dense["images_per_s"].tolist() == pytest.approx([rate] * 4)  # each recipe at the speed of dense


def test_main_markdown_shows_the_spread(main, reported):
    lines = (reported.tables / "main.md").read_text().splitlines()
    row = next(line for line in lines if "tiny" in line and "3@0.9+6@0.9" in line)
    assert "10.3 (7.17 to 12.3)" in row
    assert any("5th and 95th percentile" in line for line in lines) and "not timed" in "".join(lines)
    assert " to " not in next(line for line in lines if "3:0.2+6:0.2" in line)
    notes = " ".join(main_sheet(main[~main["varies"] & (main["batch"] == 1)]).notes)
    assert "percentile" not in notes and "Not timed" not in notes
