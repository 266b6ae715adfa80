"""The tables that compare: criteria with chance and ground truth, published figures with ours."""

import pandas as pd
import pytest

from paumer.reporting.frames import operating_points
from paumer.reporting.tables.criteria import CRITERIA, criteria_sheet, criteria_table
from paumer.reporting.tables.published import OURS, published_table
from paumer.system.files import write_json

POINT = ["backbone", "recipe", "strategy", "schedule"]


@pytest.fixture
def criteria(reported):
    return pd.read_csv(reported.tables / "criteria.csv", keep_default_na=False)


@pytest.fixture
def set_miou(measured, edit):
    """Change the mIoU of some rows of all runs."""

    def change(value, **wanted):
        def changed(table):
            found = (table[list(wanted)] == list(wanted.values())).all(axis=1)
            return table.assign(miou=table["miou"].mask(found, str(value)))

        for path in measured.accuracy:
            edit(path, changed)

    return change


def published_of(measured, main):
    table = published_table(main, measured.published, measured.data, measured.flops, measured.throughput)
    return table[table["source"] != OURS], table[table["source"] == OURS], table


def test_one_row_per_informed_criterion_with_a_control(criteria, accuracy):
    assert list(criteria.columns) == CRITERIA
    controlled = accuracy[accuracy["criterion"].isin(["random", "oracle"])][POINT].drop_duplicates()
    informed = accuracy[~accuracy["criterion"].isin(["", "random", "oracle"])]
    expected = informed.merge(controlled, on=POINT)[[*POINT, "criterion"]].drop_duplicates()
    assert len(criteria) == len(expected) == len(criteria.merge(expected)) > 0
    assert "dense" not in set(criteria["recipe"])  # only the control ran there


def test_means_are_those_of_accuracy(criteria, accuracy):
    row = criteria[criteria["recipe"] == "paumer"].iloc[3]
    for criterion, name in (("random", "random"), ("entropy", "miou"), ("oracle", "oracle")):
        wanted = [*(row[key] for key in POINT), criterion]
        seeds = accuracy[(accuracy[[*POINT, "criterion"]] == wanted).all(axis=1)]
        assert float(row[name]) == pytest.approx(seeds["miou"].mean(), abs=1e-4)
    assert (row["between"], row["seeds"], row["seeds_between"]) == ("yes", 2, "2")
    unbounded = criteria[criteria["oracle"] == ""]
    assert len(unbounded) and (unbounded[["between", "seeds_between"]] == "").all(axis=None)


def test_outside_the_bounds_is_said_and_named(measured, main, set_miou):
    at = {"backbone": "tiny", "recipe": "paumer", "criterion": "entropy"}
    set_miou(10, **at, schedule="3:0.4")
    set_miou(90, **at, schedule="3:0.6")
    set_miou(10, **at, schedule="3:0.2", seed="1")
    table = criteria_table(measured.accuracy, main)
    found = table.set_index(POINT).sort_index().loc[("tiny", "paumer", "pause")]
    assert list(found.loc["3:0.4", ["between", "seeds_between"]]) == ["no: below random", 0]
    assert list(found.loc["3:0.6", ["between", "seeds_between"]]) == ["no: above oracle", 0]
    assert list(found.loc["3:0.2", ["between", "seeds_between"]]) == ["no: below random", 1]
    sheet = criteria_sheet(table)
    assert sheet.notes[0].startswith("Between random and oracle: 9 of 12 rows; not paumer/pause/entropy 3:0.2 of tiny")
    assert any(row[-1] == "no: below random (1 of 2 seeds between)" for row in sheet.rows)


def test_different_costs_are_not_judged(measured, main):
    varying = main.assign(varies=main["varies"] | (main["schedule"] == "3:0.4"))
    table = criteria_table(measured.accuracy, varying)
    unjudged = table[(table["recipe"] == "paumer") & (table["between"] == "")]
    assert set(unjudged["schedule"]) == {"3:0.4"}
    assert unjudged["seeds_between"].isna().all()
    assert "costs each something else" in criteria_sheet(table).notes[-1]


def test_no_control_makes_an_empty_table(measured, edit, run_tables, tmp_path):
    for path in measured.accuracy:
        edit(path, lambda table: table[~table["criterion"].isin(["random", "oracle"])])
    run_tables(measured, tmp_path / "tables")
    assert pd.read_csv(tmp_path / "tables/criteria.csv").empty
    assert "none is judged" in (tmp_path / "tables/criteria.md").read_text()


def test_same_network_puts_ours_beside_the_published(reported, wide):
    table = pd.read_csv(reported.tables / "published.csv", keep_default_na=False)
    theirs, ours = table[table["source"] != OURS], table[table["source"] == OURS]
    assert theirs[["same", "backbone", "decoder"]].values.tolist() == [["network", "tiny", "linear"]]
    assert set(ours["backbone"]) == {"tiny"}  # no published figure is of `small`
    assert set(ours["dataset"]) == {"scenes"}
    assert set(ours["crop"]) == {96}  # the first of its two sizes
    assert not ours.duplicated(["method", "setting"]).any()
    found = ours[(ours["method"] == "paumer/pause/entropy") & (ours["setting"] == "3:0.4")].iloc[0]
    named = (wide[["backbone", "recipe", "criterion", "schedule"]] == ["tiny", "paumer", "entropy", "3:0.4"]).all(
        axis=1
    )
    row = wide[named].iloc[0]
    numbers = [float(found[name]) for name in ("miou", "miou_change", "images_per_s")]
    assert numbers == [row["miou"], -row["drop"], row["images_per_s_b8"]]
    assert found["timing_note"] == "test device, float32, batch 8"


def test_same_dataset_is_enough(measured, main):
    write_json(measured.data, {"dataset": "ade20k"})
    theirs, ours, _ = published_of(measured, main)
    assert list(theirs["same"]) == ["dataset", "dataset, network", "dataset", "dataset"]
    assert len(ours) == len(operating_points(main))


def test_nothing_in_common_shows_the_published_alone(measured, edit, run_tables, tmp_path):
    edit(measured.published, lambda table: table[table["backbone"] != "tiny"])
    run_tables(measured, tmp_path / "tables")
    table = pd.read_csv(tmp_path / "tables/published.csv", keep_default_na=False)
    assert list(table["source"]) == ["PAUMER abstract", "PAUMER abstract", "another README"]
    assert "no row is comparable" in (tmp_path / "tables/published.md").read_text().splitlines()[0]
