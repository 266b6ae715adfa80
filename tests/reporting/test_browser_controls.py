"""Every control and section of the report as a reader meets them, in a headless Chromium."""

import pytest
from browsing import CHARTS, Opened, executable, names
from synthetic_maps import GRID

from paumer.reporting.figures.points import gmac_points
from paumer.reporting.frames import read_main

pytest.importorskip("playwright", reason="playwright is not installed")
pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.skipif(executable() is None, reason="no Chromium is installed (Debian package: chromium)"),
]


def test_front_of_gmac_is_that_of_the_figure(opened, reported):
    opened.set("[name=axis]", "gmac")
    points = gmac_points(read_main(reported.tables / "main.csv"))
    points = points[points["backbone"] == "tiny"]
    assert names(opened.rows("pareto-chart", "front")) == names(points[~points["dominated"]].to_dict("records"))
    assert "GMAC per image" in opened.page.inner_text("#pareto-chart")


def test_budget_of_speed_names_the_most_accurate_of_every_method(opened, at_eight):
    opened.set("[name=budget]", "speedup")
    assert opened.page.input_value("[name=limit]") == "1.5"
    opened.set("[name=limit]", 1.3)
    fits = at_eight[at_eight["speedup"] >= 1.3].sort_values("drop")
    shown = opened.rows("methods-chart", "best")
    found = {row["method"]: row["schedule"] for row in shown if not row.get("none")}
    assert found == dict(fits.drop_duplicates("method")[["method", "schedule"]].to_numpy())
    assert {row["method"] for row in shown} == set(at_eight["method"]) - {"dense/dense"}


def test_batch_and_type_choose_the_timings(opened, at_eight, wide):
    row = at_eight[(at_eight["schedule"] == "3:0.2") & (at_eight["method"] == "paumer/pause/entropy")].iloc[0]
    one = wide[(wide["backbone"] == "tiny") & (wide["schedule"] == "3:0.2")].iloc[0]
    assert shown(opened)["x"] == pytest.approx(row["images_per_s"], rel=1e-3)
    opened.set("[name=batch]", "1")
    assert shown(opened)["x"] == pytest.approx(one["images_per_s_b1"], rel=1e-3)
    assert "batch 1" in opened.text("#pareto-chart")
    before = shown(opened)["x"]
    opened.set("[name=dtype]", "bfloat16")
    assert shown(opened)["x"] != before
    assert "bfloat16, eager, logits" in opened.text("#explorer-count")
    opened.set("[name=mode]", "compile")  # measured in float32 alone
    assert "float32, compile, logits" in opened.text("#explorer-count")


def shown(opened):
    points = opened.rows("pareto-chart", "points")
    return next(row for row in points if (row["method"], row["schedule"]) == ("paumer/pause/entropy", "3:0.2"))


def test_backbone_changes_everything(opened):
    opened.set("#explorer-form [name=backbone]", "small")
    assert {row["backbone"] for row in opened.rows("pareto-chart", "points")} == {"small"}
    opened.set("#classes-form [name=backbone]", "small")
    opened.set("#training-form [name=backbone]", "small")
    opened.set("#equal-form [name=backbone]", "small")
    assert {row["backbone"] for row in opened.rows("classes-chart", "classes")} == {"small"}
    assert {row["backbone"] for row in opened.rows("training-chart", "training")} == {"small"}
    assert {row["backbone"] for row in opened.rows("equal-chart", "equal")} == {"small"}


def test_claim_is_counted_from_dense_and_named_as_a_claim(opened):
    marks = {row["kind"]: row for row in opened.rows("pareto-chart", "marks")}
    assert marks["claim"]["x"] == pytest.approx(1.5 * marks["dense"]["x"])
    assert marks["claim"]["miou"] == pytest.approx(marks["dense"]["miou"] - 0.65)
    assert "claim of the abstract (Cityscapes: other data and network)" in opened.text("#pareto-chart")
    opened.set("[name=claim]", False)
    assert "claim of the abstract" not in opened.text("#pareto-chart")
    opened.set("[name=claim]", True)
    opened.set("[name=axis]", "gmac")  # the abstract names no cost
    assert "claim of the abstract" not in opened.text("#pareto-chart")


def test_arrow_keys_step_through_the_points(opened):
    ordered = opened.rows("pareto-chart", "points") + opened.rows("pareto-chart", "marks")
    least = min(row["x"] for row in ordered if "schedule" in row)
    leftmost = [row["method"] for row in ordered if row["x"] == least and "method" in row]
    opened.page.focus("#pareto-chart")
    opened.page.keyboard.press("Home")
    opened.settle()
    assert opened.text("#point-details").split(" ")[0] in leftmost
    first = opened.text("#point-details")
    opened.page.keyboard.press("ArrowRight")
    opened.settle()
    assert opened.text("#point-details") != first
    assert any(row["kind"] == "focus" for row in opened.rows("pareto-chart", "marks"))


def test_hovering_shows_schedule_drop_and_interval(opened):
    opened.page.locator("#pareto-chart").scroll_into_view_if_needed()
    opened.page.locator("#pareto-chart .mark-symbol path").nth(3).hover(force=True)
    tooltip = opened.page.wait_for_selector("#vg-tooltip-element.visible").inner_text()
    for wanted in ("schedule", "drop (points)", "speed-up [95%]", "images/s"):
        assert wanted in tooltip


def test_viewer_follows_a_patch_with_the_keyboard(opened):
    opened.set("[name=schedule]", 1)
    opened.page.focus("#maps-panels")
    opened.page.keyboard.press("ArrowRight")
    assert "Patch in row 1, column 1: paused after block 3" in opened.text("#patch-details")
    for _ in range(GRID[1]):
        opened.page.keyboard.press("ArrowRight")
    opened.page.keyboard.press("ArrowDown")
    opened.page.keyboard.press("ArrowDown")
    opened.page.wait_for_timeout(100)
    assert f"Patch in row 3, column {GRID[1]}: never paused" in opened.text("#patch-details")


@pytest.mark.parametrize("width", [480, 1000, 1600])
def test_no_text_is_cut_off_and_no_axis_labels_overlap(chromium, reported, width):
    page = chromium.new_page(viewport={"width": width, "height": 900})
    Opened(page, reported.page)
    for chart in CHARTS:
        frame, texts = page.eval_on_selector(
            f"#{chart} svg.marks",
            """(svg) => {
              const box = (each) => {
                const { left, right, top, bottom } = each.getBoundingClientRect();
                return [left, top, right, bottom, each.textContent];
              };
              const seen = (text) => text.textContent && text.getAttribute("opacity") !== "0";
              const boxes = (place) => [...place.querySelectorAll("text")].filter(seen).map(box);
              const axes = [...svg.querySelectorAll(".mark-text.role-axis-label")].map(boxes);
              return [box(svg), { all: boxes(svg), axes }];
            }""",
        )
        for left, top, right, bottom, _ in texts["all"]:
            assert frame[0] - 1 <= left <= right <= frame[2] + 1
            assert frame[1] - 1 <= top <= bottom <= frame[3] + 1
        for labels in texts["axes"]:
            for at, one in enumerate(labels):
                assert not any(overlap(one, two) for two in labels[at + 1 :])
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()


def test_nothing_scrolls_sideways_on_a_laptop(chromium, reported):
    page = chromium.new_page(viewport={"width": 1280, "height": 800})
    Opened(page, reported.page)
    wide = page.evaluate(
        """() => {
          for (const each of document.querySelectorAll("details")) each.open = true;
          const scrolls = (each) => ["auto", "scroll"].includes(getComputedStyle(each).overflowX);
          const within = [...document.querySelectorAll("body *")].filter(scrolls);
          return [document.documentElement, ...within]
            .filter((each) => each.scrollWidth > each.clientWidth)
            .map((each) => each.ariaLabel ?? each.tagName);
        }"""
    )
    assert wide == []
    page.close()


@pytest.mark.parametrize(("width", "at_once"), [(400, ["#overview"]), (1280, ["#overview", ".finding"])])
def test_the_picture_comes_first_on_every_screen(chromium, reported, width, at_once):
    page = chromium.new_page(viewport={"width": width, "height": 800})
    Opened(page, reported.page)
    boxes = {name: page.locator(name).first.bounding_box() for name in ("#overview", ".finding", "nav", "#headline")}
    assert max(boxes[name]["y"] for name in at_once) < 800
    assert boxes["#overview"]["y"] + boxes["#overview"]["height"] <= boxes["nav"]["y"] < boxes["#headline"]["y"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()


def overlap(one, two):
    slack = 1
    return min(one[2], two[2]) - max(one[0], two[0]) > slack and min(one[3], two[3]) - max(one[1], two[1]) > 2 + slack


def test_page_reads_without_scripts_and_on_paper(chromium, reported):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    Opened(page, reported.page, ready=False)
    assert page.locator("#explorer img").is_visible()
    assert page.locator("#maps img").is_visible()
    context.close()
    page = chromium.new_page()
    opened = Opened(page, reported.page)
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert page.locator("#pareto-chart svg.marks").is_visible()
    assert page.pdf().startswith(b"%PDF")
    assert opened.said == []
    page.close()
