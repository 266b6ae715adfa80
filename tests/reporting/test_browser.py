"""The report opens in a headless Chromium, and its main parts work. Every control: test_browser_controls.py."""

import numpy as np
import pandas as pd
import pytest
from browsing import CHARTS, executable, names
from synthetic_maps import SCHEDULES, pause_map
from tiers import first

from paumer.reporting.figures.points import PUBLISHED

pytest.importorskip("playwright", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(executable() is None, reason="no Chromium is installed (Debian package: chromium)")


def test_page_opens_in_silence_and_asks_for_nothing(shared):
    assert shared.said == []
    assert shared.asked == []
    for chart in CHARTS:
        assert shared.page.locator(f"#{chart} svg.marks").count() == 1


def test_front_of_speed_is_that_of_the_figure(opened, reported):
    drawn = pd.read_csv(reported.figures / "pareto_speed.csv")
    drawn = drawn[(drawn["backbone"] == "tiny") & (drawn["method"] != PUBLISHED)]
    front = opened.rows("pareto-chart", "front")
    assert names(front) == names(drawn[~drawn["dominated"]].to_dict("records"))
    assert len(opened.rows("pareto-chart", "points")) == len(drawn) - 1  # dense is a star
    assert [row["x"] for row in front] == sorted(row["x"] for row in front)


@pytest.mark.parametrize("limit", first([0.65, 0.2, 3]))
def test_budget_of_drop_names_the_fastest(opened, at_eight, limit):
    opened.set("[name=limit]", limit)
    fits = at_eight[(at_eight["drop"] <= limit) & (at_eight["criterion"] != "oracle")]
    best = fits.sort_values(["speedup", "miou"], ascending=False).iloc[0]
    assert f"{best['method']} with {best['schedule']}: speed-up {best['speedup']:.2f}" in opened.text("#budget-verdict")
    chosen = [row for row in opened.rows("pareto-chart", "marks") if row["kind"] == "chosen"]
    assert [row["miou"] for row in chosen] == [best["miou"]]


def test_methods_can_be_hidden(opened):
    opened.set('[value="paumer/pause/entropy"]', False)
    assert not any(row["method"] == "paumer/pause/entropy" for row in opened.rows("pareto-chart", "points"))
    opened.page.click("#no-methods")
    opened.settle()
    assert opened.rows("pareto-chart", "points") == []
    assert "No operating point" in opened.text("#budget-verdict")
    opened.page.click("#all-methods")
    opened.settle()
    assert opened.rows("pareto-chart", "points")


def colours(opened, panel):
    """Red, green and blue of every pixel of a panel of the viewer, row by row."""
    script = """(canvas) => [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]"""
    values = opened.page.eval_on_selector(f"#maps-panels figure:nth-child({panel}) canvas", script)
    return np.array(values).reshape(-1, 4)[:, :3]


@pytest.mark.parametrize("number", first(range(len(SCHEDULES))))
def test_viewer_shows_what_each_schedule_did(opened, number):
    opened.set("[name=schedule]", number)
    opened.page.wait_for_function("document.querySelectorAll('#maps-panels figure').length >= 6")
    opened.page.wait_for_timeout(200)
    schedule, made = SCHEDULES[number], pause_map(SCHEDULES[number])
    assert str(schedule) in opened.text("#schedule-value")
    titles = opened.page.locator("#maps-panels figcaption").all_inner_texts()
    assert titles[:1] + titles[2:5] == ["image", "prediction", "errors", "ground truth"]
    assert titles[5:] == [f"entropy after block {block}" for block in made.entropy]
    car = np.array([0, 0, 142])
    predicted = (colours(opened, 3) == car).all(axis=1)
    assert np.array_equal(predicted, made.prediction.ravel() == 13)
    wrong = (colours(opened, 4) == [165, 0, 38]).all(axis=1)
    assert wrong.sum() > 0
    white = (colours(opened, 6 + len(made.entropy) - 1) == 255).all(axis=1).reshape(made.prediction.shape)
    last = made.entropy[max(made.entropy)]
    assert np.array_equal(white[4::8, 4::8], np.isnan(last)[: white[4::8].shape[0]])


def test_classes_compare_two_criteria(opened, reported):
    rows = opened.rows("classes-chart", "classes")
    points = {row["series"]: row["point"] for row in rows}
    assert points["first"].startswith("paumer/pause/entropy")
    assert points["second"] == points["first"].replace("entropy", "random")
    table = pd.read_csv(reported.tables / "classes.csv", keep_default_na=False)
    table = table[(table["backbone"] == "tiny") & (table["recipe"] == "paumer") & (table["criterion"] == "entropy")]
    table = table[table["strategy"] == "pause"].set_index("class")["drop"]
    assert {row["class"]: row["drop"] for row in rows if row["series"] == "first"} == table.to_dict()
    other = next(name for name in opened.choices("#classes-form [name=second]") if name.startswith("dense/merge"))
    opened.set("#classes-form [name=second]", other)
    assert {row["point"] for row in opened.rows("classes-chart", "classes")} == {points["first"], other}


def test_tables_can_be_filtered_and_sorted(opened):
    opened.page.eval_on_selector_all("details", "(all) => all.forEach((each) => { each.open = true; })")
    opened.page.fill("[data-table=main-table] input", "small pause oracle")
    visible = opened.page.locator("#main-table tbody tr:visible")
    assert visible.count() == 6
    assert opened.text("[data-table=main-table] output").startswith("6 of ")
    opened.page.fill("[data-table=main-table] input", "")
    column = opened.page.locator("#main-table th").all_inner_texts().index("mIoU (points)") + 1
    for order in ("ascending", "descending"):
        opened.page.click(f"#main-table th:nth-child({column}) button")
        cells = opened.page.locator(f"#main-table td:nth-child({column})").all_inner_texts()
        values = [float(cell.split(" ")[0]) for cell in cells]
        assert values == sorted(values, reverse=order == "descending")
