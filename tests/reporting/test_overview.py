"""The picture that the report opens with."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from paumer.reporting.figures.drawing import SCREEN, style
from paumer.reporting.figures.labels import Labels
from paumer.reporting.figures.overview import DENSE, overview
from paumer.reporting.figures.points import CLAIMED, FAMILY, dominated, overview_points
from paumer.reporting.tables.methods import PAUMER, family_points


@pytest.fixture
def alone(main):
    return main[main["backbone"] == "tiny"]


def names(figure):
    return [text.get_text() for panel in figure.axes for text in panel.texts if text.get_text()]


def test_every_point_stands_at_its_speedup_times_one_dense(main):
    data = overview_points(main)
    assert list(data.columns) == FAMILY
    for _, points in data.groupby("backbone"):
        dense = points[points["family"] == DENSE]
        rate = dense["images_per_s"].item()
        assert points["images_per_s"].to_numpy() == pytest.approx(rate * points["speedup"].to_numpy())
        timed = points[~points["family"].isin([DENSE, CLAIMED])]
        assert timed["images_per_s_low"].to_numpy() == pytest.approx(rate * timed["speedup_low"].to_numpy())
    varying = data[data["schedule"].str.contains("@")]
    assert len(varying)  # they were timed beside another dense


def test_claim_is_counted_from_dense(main):
    data = overview_points(main).set_index(["backbone", "family"])
    dense, claim = (data.loc[("tiny", name)] for name in (DENSE, CLAIMED))
    assert claim["images_per_s"].item() == pytest.approx(1.5 * dense["images_per_s"].item())
    assert claim["miou"].item() == pytest.approx(dense["miou"].item() - 0.65)


def test_each_family_is_shown_by_what_its_own_points_do_not_beat(main):
    data, points = overview_points(main), family_points(main).dropna(subset="speedup")
    for key, group in points.groupby(["backbone", "family"]):
        front = group[~dominated(group["speedup"], group["miou"])]
        shown = data[(data["backbone"] == key[0]) & (data["family"] == key[1])]
        assert sorted(shown["schedule"]) == sorted(front["schedule"])
        assert shown["speedup"].is_monotonic_increasing
        assert shown["miou"].is_monotonic_decreasing


def test_figure_shows_what_its_csv_says(reported, main):
    written = pd.read_csv(reported.figures / "overview.csv", keep_default_na=False, na_values=[""])
    assert len(written) == len(overview_points(main))
    for ending in ("svg", "png"):
        assert (reported.figures / f"overview.{ending}").stat().st_size > 1000
    with style():
        figure, _ = overview(main)
    tiny, small = figure.axes
    assert "batch 8" in tiny.get_xlabel() and "batch 1" in small.get_xlabel()
    assert {"early exit", "PAUMER", "smaller network"} <= {text.get_text() for text in figure.legends[0].get_texts()}


def test_where_there_is_room_every_family_is_named_once(alone):
    with style(SCREEN):
        figure, data = overview(alone)
    assert not figure.legends
    shown = names(figure)
    below = next(text for text in shown if text.startswith("further below"))
    families = set(data["family"]) - {DENSE, CLAIMED}
    assert families == {
        *(PAUMER, "early exit", "merging", "merging + pausing", "smaller input", "smaller network", "token exits")
    }
    for name in families:
        label = name.split(":")[0]
        assert shown.count(label) + (label in below) == 1
    assert "smaller network (11.3 points at 2.71x)" in below
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    assert not any(one.overlaps(two) for at, one in enumerate(boxes) for two in boxes[at + 1 :])


def test_dense_alone_can_be_drawn(main):
    with style():
        figure, data = overview(main[(main["strategy"] == "dense") & (main["recipe"] == "dense")])
        figure.draw_without_rendering()
    assert set(data["family"]) == {DENSE, CLAIMED}


def test_a_label_that_finds_no_place_nearby_goes_further_away():
    figure = Figure()
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    crowd = [(x, y) for x in np.linspace(0.4, 0.6, 20) for y in np.linspace(0.4, 0.6, 20)]
    labels = Labels(axes, crowd)
    assert not labels.add("in the crowd", (0.5, 0.5))
    assert axes.texts == [] or not any(text.get_text() for text in axes.texts)
    assert labels.add("in the crowd", (0.5, 0.5), away=14)
    assert [text.get_text() for text in axes.texts] == ["in the crowd", ""]  # and the line that leads there
