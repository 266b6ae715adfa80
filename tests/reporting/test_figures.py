import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from paumer.reporting.figures.drawing import save, style
from paumer.reporting.figures.labels import label_points
from paumer.reporting.figures.overview import overview
from paumer.reporting.figures.pareto import cost_spread
from paumer.reporting.figures.points import CLAIMED, PUBLISHED, dominated, gmac_points, loss_curves, speed_points
from paumer.reporting.figures.results import drop_speedup, floor_overhead, speedup_gmac
from paumer.reporting.figures.write import write_speed_figures
from paumer.reporting.frames import DENSE
from paumer.reporting.tables.speed import timed, timed_alone
from paumer.system.errors import PaumerError

SIDES = ("_low", "", "_high")


def with_methods(main):
    parts = main[["recipe", "strategy", "criterion"]]
    return main.assign(method=["/".join(filter(None, row)) for row in parts.itertuples(index=False)])


def test_pareto_draws_what_the_main_table_says(reported, wide):
    drawn = pd.read_csv(reported.figures / "pareto_speed.csv")
    points = drawn[drawn["method"] != PUBLISHED]
    joined = points.merge(with_methods(wide), on=["backbone", "method", "schedule"], suffixes=("", "_main"))
    timed = np.where(wide["backbone"] == "tiny", wide["images_per_s_b8"], wide["images_per_s_b1"])
    assert len(joined) == len(points) == np.isfinite(timed).sum() < len(wide)
    assert (joined["miou"] == joined["miou_main"]).all()
    at_batch = np.where(joined["backbone"] == "tiny", joined["images_per_s_b8"], joined["images_per_s_b1"])
    fixed = joined["gmac_low"].isna()
    assert joined.loc[fixed, "images_per_s"].to_numpy() == pytest.approx(at_batch[fixed], rel=1e-3)
    assert (joined["images_per_s_low"] <= joined["images_per_s"]).all()
    assert (joined["images_per_s_high"] >= joined["images_per_s"]).all()


def test_every_point_is_placed_by_its_speedup_times_one_rate_of_dense(main, wide):
    """Whenever it was timed: images/s of a slow hour do not move a point."""
    slow = main["strategy"] == "pause"
    changed = main.assign(images_per_s=main["images_per_s"].mask(slow, 1))
    drawn = [speed_points(table) for table in (main, changed)]
    pd.testing.assert_frame_equal(*drawn)
    tiny = drawn[0][(drawn[0]["backbone"] == "tiny") & (drawn[0]["method"] != PUBLISHED)]
    rate = tiny.loc[tiny["method"] == "dense/dense", "images_per_s"].item()
    expected = tiny.merge(with_methods(wide), on=["backbone", "method", "schedule"])["speedup_b8"]
    assert (tiny["images_per_s"] / rate).to_numpy() == pytest.approx(expected.to_numpy())


@pytest.mark.parametrize("points", [speed_points, gmac_points])
def test_oracle_is_drawn_but_beats_nothing(main, points):
    drawn = points(main)
    oracle = drawn["method"].str.endswith("/oracle")
    assert oracle.any()
    assert drawn.loc[oracle, "dominated"].all()
    front = drawn[~drawn["dominated"] & (drawn["method"] != PUBLISHED)]
    best = drawn[oracle].groupby("backbone")["miou"].max()
    entropy = front[front["method"] == "paumer/pause/entropy"].groupby("backbone")["miou"].min()
    assert (entropy < best).all()  # the oracle would have removed some of them


def test_best_of_a_method_is_what_its_own_schedules_do_not_beat(main):
    keys = ["backbone", "recipe", "criterion", "schedule"]
    worse = (main[keys] == ["tiny", "multi-exit", "entropy", "3:0.2"]).all(axis=1)
    points = gmac_points(main.assign(miou=main["miou"].mask(worse, 20)))
    for _, group in points.groupby(["backbone", "method"]):
        assert (group["best_of_method"] == ~dominated(-group["gmac"], group["miou"])).all()
    assert list(points.loc[~points["best_of_method"], "schedule"]) == ["3:0.2"]
    assert (points["best_of_method"] & points["dominated"]).any()


def test_cost_spread_shows_dense_and_what_varies(reported, wide):
    drawn = pd.read_csv(reported.figures / "cost_spread.csv")
    varying = with_methods(wide)[wide["gmac_low"].notna()]
    joined = drawn.merge(varying, on=["backbone", "method", "schedule", "gmac", "gmac_low", "gmac_high", "miou"])
    assert len(joined) == len(varying) == len(drawn) - 2
    assert list(drawn.loc[drawn["gmac_low"].isna(), "method"]) == ["dense/dense", "dense/dense"]


def test_cost_spread_says_that_nothing_varies(main, tmp_path):
    figure, data = cost_spread(main[~main["varies"]])
    assert data.empty
    assert "every operating point costs the same" in figure.texts[0].get_text()
    save(figure, data, tmp_path, "cost_spread")
    assert (tmp_path / "cost_spread.png").exists()


def test_published_claim_is_counted_from_dense(reported):
    drawn = pd.read_csv(reported.figures / "pareto_speed.csv").set_index(["backbone", "method"])
    dense, claim = drawn.loc[("tiny", "dense/dense")], drawn.loc[("tiny", PUBLISHED)]
    assert claim["images_per_s"].item() == pytest.approx(1.5 * dense["images_per_s"].item(), abs=1e-3)
    assert claim["miou"].item() == pytest.approx(dense["miou"].item() - 0.65, abs=1e-3)


def test_gmac_and_speedup_are_those_of_the_main_table(reported, wide):
    drawn = pd.read_csv(reported.figures / "speedup_gmac.csv")
    fixed = drawn["recipe"].isna()
    shared = wide.drop(columns=["recipe", "criterion"]).drop_duplicates(["backbone", "strategy", "schedule"])
    joined = pd.concat(
        [
            drawn[fixed].merge(shared, on=["backbone", "strategy", "schedule"], suffixes=("", "_main")),
            drawn[~fixed].merge(
                wide, on=["backbone", "recipe", "strategy", "criterion", "schedule"], suffixes=("", "_main")
            ),
        ]
    )
    assert len(joined) == len(drawn)
    assert not drawn.duplicated(["backbone", "batch", "recipe", "strategy", "criterion", "schedule"]).any()
    expected = np.where(joined["batch"] == 8, joined["speedup_b8"], joined["speedup_b1"])
    assert np.array_equal(joined["speedup"], expected)
    assert (joined["gmac_ratio"] == joined["gmac_ratio_main"]).all()


def test_out_of_memory_is_not_drawn(reported):
    drawn = pd.read_csv(reported.figures / "throughput_batch.csv")
    assert drawn["images_per_s"].notna().all()
    assert not ((drawn["backbone"] == "small") & (drawn["batch"] == 8) & (drawn["strategy"] == "dense")).any()


def test_latency_is_batch_over_images_per_second(reported, wide):
    drawn = pd.read_csv(reported.figures / "throughput_batch.csv", keep_default_na=False)
    paused = drawn[(drawn["backbone"] == "tiny") & (drawn["schedule"] == "3:0.2") & (drawn["batch"] == 8)].iloc[0]
    row = wide[(wide["backbone"] == "tiny") & (wide["schedule"] == "3:0.2")].iloc[0]
    low, middle, high = (8000 * row["speedup_b8"] / row["images_per_s_b8"] / row[f"speedup{side}_b8"] for side in SIDES)
    assert [float(paused[f"latency_ms{side}"]) for side in ("", "_low", "_high")] == pytest.approx(
        [middle, high, low], rel=1e-3
    )
    assert (drawn["latency_ms_low"].replace("", 0).astype(float) <= drawn["latency_ms"].astype(float)).all()


def test_overhead_is_that_of_the_timings(reported):
    drawn = pd.read_csv(reported.figures / "floor_overhead.csv", keep_default_na=False)
    measured = pd.read_csv(reported.measured.throughput, keep_default_na=False)
    first = (measured[["dtype", "mode", "scope"]] == ["float32", "eager", "logits"]).all(axis=1)
    paused = measured[first & (measured["strategy"] == "pause") & (measured["height"] != 48)]
    paused = paused[paused["floor_ratio"] != ""]
    keys = ["backbone", "schedule", "batch"]
    joined = drawn.merge(paused, on=keys, suffixes=("", "_measured"))
    assert len(joined) == len(drawn) == len(paused) == 6 + 6 + 6
    for name in ("floor_ratio", "floor_low", "floor_high"):
        expected = joined[f"{name}_measured"].astype(float)
        assert joined[name].astype(float).to_numpy() == pytest.approx(expected, abs=1e-4)


def test_overhead_has_a_series_for_each_batch_and_a_line_at_one(main):
    figure, _ = floor_overhead(timed(main))
    tiny, small = figure.axes
    assert set(tiny.get_legend_handles_labels()[1]) == {"batch 1", "batch 8", "floor: the same blocks alone"}
    assert [list(line.get_ydata()) for line in tiny.lines if line.get_label().startswith("floor")] == [[1, 1]]
    schedules = [label.get_text() for label in tiny.get_xticklabels()]
    assert schedules == ["3:0.2", "6:0.4", "3:0.2+6:0.2", "3:0.4", "3:0.3+6:0.3", "3:0.6"]
    assert small.get_ylim()[0] < 1


def test_overhead_says_that_nothing_pauses(main):
    figure, data = floor_overhead(timed(main[main["strategy"] != "pause"]))
    assert data.empty
    assert "no schedule was timed" in figure.texts[0].get_text()


def test_speed_alone_draws_the_same_fixed_costs(reported, tmp_path):
    write_speed_figures(reported.tables / "speed.csv", tmp_path)
    assert {path.stem for path in tmp_path.glob("*.*")} == {"throughput_batch", "speedup_gmac", "floor_overhead"}
    alone, beside = (pd.read_csv(folder / "floor_overhead.csv") for folder in (tmp_path, reported.figures))
    keys = ["backbone", "schedule", "batch"]
    pd.testing.assert_frame_equal(*(data.sort_values(keys, ignore_index=True) for data in (alone, beside)))
    alone, beside = (pd.read_csv(folder / "speedup_gmac.csv") for folder in (tmp_path, reported.figures))
    beside = beside[beside["recipe"].isna()]
    assert len(alone) == len(beside) + 3  # a schedule that accuracy lacks, timed at batch 1 twice and at batch 8 once
    joined = alone.merge(beside, on=[*keys, "strategy"], suffixes=("", "_beside"))
    assert len(joined) == len(beside)
    assert (joined["speedup"] == joined["speedup_beside"]).all()
    assert joined["gmac_ratio"].to_numpy() == pytest.approx(joined["gmac_ratio_beside"], abs=1e-3)


def test_dense_is_drawn_once_and_its_other_timings_not_at_all(reported):
    points = timed_alone(reported.tables / "speed.csv")
    assert not {"explicit-attention", "dense-again"} & set(points["strategy"])
    assert len(points[points["strategy"] == "dense"]) == 2 * 2  # backbones and batches


def test_methods_at_equal_speed_are_drawn_as_tabulated(reported, main):
    drawn = pd.read_csv(reported.figures / "drop_speedup.csv")
    table = pd.read_csv(reported.tables / "equal_speed.csv")
    pd.testing.assert_frame_equal(drawn, table[drawn.columns], check_exact=False, rtol=1e-3)
    figure, _ = drop_speedup(reported.tables / "equal_speed.csv", main)
    tiny, small = figure.axes
    at = {line.get_label(): list(line.get_ydata()) for line in tiny.lines if len(line.get_ydata()) == 2}
    assert (at[DENSE], at[CLAIMED]) == ([0, 0], [0.65, 0.65])
    methods = set(table.loc[table["backbone"] == "small", "method"])
    assert set(small.get_legend_handles_labels()[1]) == methods | {DENSE, CLAIMED}


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


@pytest.mark.exhaustive
def test_figures_are_the_same_twice(reported, main, tmp_path):
    with style():
        drawn = {"overview": (overview(main), ["svg", "png"]), "speedup_gmac": (speedup_gmac(timed(main)), ["png"])}
        for name, ((figure, data), endings) in drawn.items():
            save(figure, data, tmp_path, name, endings)
            for ending in (*endings, "csv"):
                again, first = tmp_path / f"{name}.{ending}", reported.figures / f"{name}.{ending}"
                assert again.read_bytes() == first.read_bytes()


def test_labels_do_not_overlap():
    figure = Figure()
    axes = figure.subplots()
    points = [(x / 10, y / 10) for x in range(6) for y in range(6)]
    axes.scatter(*zip(*points, strict=True))
    figure.draw_without_rendering()
    named = pd.DataFrame(points, columns=["x", "miou"]).assign(schedule="3:0.2+6:0.2")
    label_points(axes, named, "x", points)
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
