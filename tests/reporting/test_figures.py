import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from paumer.errors import PaumerError
from paumer.reporting.aggregate import read_main
from paumer.reporting.labels import label_points
from paumer.reporting.pareto import dominated
from paumer.reporting.plots_pareto import PUBLISHED, pareto_speed
from paumer.reporting.plots_speed import speedup_gmac
from paumer.reporting.plots_training import loss_curves
from paumer.reporting.style import save, style

NAMES = ["pareto_speed", "pareto_gmac", "drop_per_class", "throughput_batch", "speedup_gmac", "training"]


@pytest.fixture
def main(reported):
    return read_main(reported.tables / "main.csv")


def with_methods(main):
    parts = main[["recipe", "strategy", "criterion"]]
    return main.assign(method=["/".join(filter(None, row)) for row in parts.itertuples(index=False)])


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_its_files(reported, name):
    for ending in ("svg", "png", "csv"):
        assert (reported.figures / f"{name}.{ending}").stat().st_size > 100


def test_pareto_draws_what_the_main_table_says(reported, main):
    drawn = pd.read_csv(reported.figures / "pareto_speed.csv")
    points = drawn[drawn["method"] != PUBLISHED]
    joined = points.merge(with_methods(main), on=["backbone", "method", "schedule"], suffixes=("", "_main"))
    assert len(joined) == len(points) == len(main)
    assert (joined["miou"] == joined["miou_main"]).all()
    at_batch = np.where(joined["backbone"] == "tiny", joined["images_per_s_b8"], joined["images_per_s_b1"])
    assert np.array_equal(joined["images_per_s"], at_batch)
    assert (joined["images_per_s_low"] <= joined["images_per_s"]).all()
    assert (joined["images_per_s_high"] >= joined["images_per_s"]).all()


def test_published_claim_is_counted_from_dense(reported):
    drawn = pd.read_csv(reported.figures / "pareto_speed.csv").set_index(["backbone", "method"])
    dense, claim = drawn.loc[("tiny", "dense/dense")], drawn.loc[("tiny", PUBLISHED)]
    assert claim["images_per_s"].item() == pytest.approx(1.5 * dense["images_per_s"].item(), abs=1e-3)
    assert claim["miou"].item() == pytest.approx(dense["miou"].item() - 0.65, abs=1e-3)


def test_gmac_and_speedup_are_those_of_the_main_table(reported, main):
    drawn = pd.read_csv(reported.figures / "speedup_gmac.csv")
    joined = drawn.merge(main, on=["backbone", "strategy", "schedule"], suffixes=("", "_main"))
    expected = np.where(joined["batch"] == 8, joined["speedup_b8"], joined["speedup_b1"])
    assert np.array_equal(joined["speedup"], expected)
    assert (joined["gmac_ratio"] == joined["gmac_ratio_main"]).all()


def test_out_of_memory_is_not_drawn(reported):
    drawn = pd.read_csv(reported.figures / "throughput_batch.csv")
    assert drawn["images_per_s"].notna().all()
    assert not ((drawn["backbone"] == "small") & (drawn["batch"] == 8) & (drawn["strategy"] == "dense")).any()


def test_bars_are_those_of_the_class_table(reported):
    drawn = pd.read_csv(reported.figures / "drop_per_class.csv")
    table = pd.read_csv(reported.tables / "classes.csv")
    assert len(drawn.merge(table)) == len(drawn)
    assert set(drawn["criterion"]) == {"entropy", "random"}
    assert set(drawn["recipe"]) == {"paumer"}


def test_curves_are_means_of_the_logged_loss(reported):
    drawn = pd.read_csv(reported.figures / "training.csv")
    curve = drawn[(drawn["backbone"] == "tiny") & (drawn["recipe"] == "paumer") & (drawn["seed"] == 1)]
    path = next(path for path in reported.measured.training if path.parts[-4:-1] == ("tiny", "paumer", "seed1"))
    logged = pd.read_csv(path)
    assert len(curve) == 150
    assert curve["loss"].mean() == pytest.approx(logged["loss"].mean(), abs=1e-3)


def test_curve_outside_a_run_is_refused(reported, tmp_path):
    stray = tmp_path / "train.csv"
    stray.write_bytes(reported.measured.training[0].read_bytes())
    with pytest.raises(PaumerError, match="seed<k>"):
        loss_curves([stray])


def test_svg_is_the_same_twice(reported, main, tmp_path):
    with style():
        for name, draw in (("pareto_speed", pareto_speed), ("speedup_gmac", speedup_gmac)):
            save(*draw(main), tmp_path, name)
            for ending in ("svg", "csv"):
                again, first = tmp_path / f"{name}.{ending}", reported.figures / f"{name}.{ending}"
                assert again.read_bytes() == first.read_bytes()


def test_labels_do_not_overlap():
    figure = Figure()
    axes = figure.subplots()
    points = [(x / 10, y / 10) for x in range(6) for y in range(6)]
    axes.scatter(*zip(*points, strict=True))
    figure.draw_without_rendering()
    label_points(axes, [(x, y, "3:0.2+6:0.2") for x, y in points], points)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert boxes
    assert not any(first.overlaps(second) for at, first in enumerate(boxes) for second in boxes[at + 1 :])


coordinates = st.tuples(st.integers(0, 8), st.integers(0, 8))


@given(st.lists(coordinates, min_size=1, max_size=30))
def test_front_is_what_no_other_point_beats(points):
    table = pd.DataFrame(points, columns=["gain", "accuracy"])
    marks = dominated(table["gain"], table["accuracy"])
    for mark, (gain, accuracy) in zip(marks, points, strict=True):
        beaten = any(x >= gain and y >= accuracy and (x, y) != (gain, accuracy) for x, y in points)
        assert mark == beaten
    assert not marks.all()
    front = table[~marks].drop_duplicates().sort_values("gain")
    assert front["accuracy"].is_monotonic_decreasing
