"""What the plots show: one long frame for each, read by the print figures and by the charts of the page.

A value `x` has its interval in the columns `x_low` and `x_high`, or in `x_spread`, its distance to both sides.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from paumer.reporting.frames import (
    BEST,
    POINT,
    at_largest_batch,
    is_dense,
    on_one_scale,
    operating_points,
    sorted_by,
    with_speed_intervals,
)
from paumer.reporting.reading import read_table, refuse_duplicates, refuse_mixed_data
from paumer.reporting.tables.main import over_seeds
from paumer.reporting.tables.methods import CLAIM, family_points
from paumer.reporting.timings import latency_ms
from paumer.system.errors import PaumerError

PUBLISHED = f"published claim ({CLAIM.dataset}, other network)"
CLAIMED = f"claim ({CLAIM.dataset})"  # in the overview
RATE = ["images_per_s", "images_per_s_low", "images_per_s_high"]
LATENCY = ["latency_ms", "latency_ms_low", "latency_ms_high"]
GMAC = ["gmac", "gmac_low", "gmac_high"]
SPEEDUP = ["speedup", "speedup_low", "speedup_high"]
FLOOR = ["floor_ratio", "floor_low", "floor_high"]
ACCURACY = ["backbone", "method", "schedule", "seeds", "miou", "miou_spread"]
MARKS = ["dominated", "best_of_method"]
FAMILY = [
    *("backbone", "family", "method", "schedule", "seeds", "batch", "miou", "miou_spread", "drop", "drop_spread"),
    *(*SPEEDUP, *RATE),
]
EQUAL = ["backbone", "method", "schedule", "asked_speedup", "seeds", "drop", "drop_low", "drop_high", *SPEEDUP]
CURVE = ["backbone", "recipe", "seed", "step", "loss"]
# Of a training curve; more show nothing more.
MOST_STEPS = 150
# Schedules shown of a strategy, from the mildest to the strongest; of every other the one nearest the claimed speed-up.
SHOWN_SCHEDULES = {"pause": 3, "early-exit": 2}

# The criterion that is shown where there is room for one.
SHOWN = "entropy"
SEMANTICS = ["backbone", "block", "criterion"]
# Keys and values of each table that stage `semantics` writes.
TABLES = {
    "composition": (["fraction", "class"], ["share", "share_of_paused", "share_paused"]),
    "groups": (["fraction", "group"], ["uniform", "distance"]),
    "boundary": (["bin"], ["score", "error", "final_error"]),
    "correlation": (["target"], ["spearman", "auroc"]),
}


def dominated(gain: pd.Series, accuracy: pd.Series) -> pd.Series:
    """Whether another point is at least as good in both and better in one; larger is better."""
    first, second = gain.to_numpy(float), accuracy.to_numpy(float)
    as_good = (first[:, None] >= first) & (second[:, None] >= second)
    better = (first[:, None] > first) | (second[:, None] > second)
    return pd.Series(np.any(as_good & better, axis=0), index=gain.index)


def best_of_method(gain: pd.Series, points: pd.DataFrame) -> pd.Series:
    """Whether no other point of the same backbone and method dominates a point."""
    return ~_dominated_within(gain, points, ["backbone", "method"])


def _dominated_within(gain: pd.Series, points: pd.DataFrame, keys: list[str]) -> pd.Series:
    if points.empty:
        return pd.Series(dtype=bool)
    groups = [group.index for _, group in points.groupby(keys)]
    return pd.concat([dominated(gain[index], points.loc[index, "miou"]) for index in groups])


def beside_dense(points: pd.DataFrame) -> pd.DataFrame:
    """Place operating points of one setting by their speed-up over one dense network; add intervals and latency."""
    placed = with_speed_intervals(points.assign(images_per_s=on_one_scale(points)))
    latencies = {name: latency_ms(placed, rate) for name, rate in zip(LATENCY, [RATE[0], *RATE[:0:-1]], strict=True)}
    return placed.assign(**latencies)


def speed_points(main: pd.DataFrame) -> pd.DataFrame:
    """mIoU and images/s at the largest batch.

    Returns:
        Columns `ACCURACY`, batch, `RATE` (the interval is that of the speed-up) and `MARKS`. The published claim,
        counted from each dense network, is a row with method `PUBLISHED`.
    """
    points = beside_dense(at_largest_batch(main).dropna(subset="images_per_s").reset_index(drop=True))
    dense = points[is_dense(points)]
    claims = dense[["backbone", "batch"]].assign(
        method=PUBLISHED,
        schedule="not stated",
        miou=dense["miou"] - CLAIM.drop,
        images_per_s=dense["images_per_s"] * CLAIM.speedup,
        **dict.fromkeys(MARKS, False),
    )
    data = _marked(points, points["images_per_s"])[[*ACCURACY, "batch", *RATE, *MARKS]]
    return pd.concat([data, claims], ignore_index=True).astype({"seeds": "Int64"})


def gmac_points(main: pd.DataFrame) -> pd.DataFrame:
    """mIoU and GMAC: columns `ACCURACY`, `GMAC` (5th and 95th percentile over the images) and `MARKS`."""
    points = at_largest_batch(main)
    return _marked(points, -points["gmac"])[[*ACCURACY, *GMAC, *MARKS]]


def _marked(points: pd.DataFrame, gain: pd.Series) -> pd.DataFrame:
    """Add `MARKS`; what chooses by the ground truth is dominated and dominates nothing."""
    fair = points[points["criterion"] != BEST]
    return points.assign(
        dominated=_dominated_within(gain, fair, ["backbone"]).reindex(points.index, fill_value=True),
        best_of_method=best_of_method(gain, points),
    )


def front(points: pd.DataFrame, value: str) -> pd.DataFrame:
    """The points of the Pareto front, from left to right."""
    return points[~points["dominated"] & (points["method"] != PUBLISHED)].sort_values([value, "miou"])


def cost_points(main: pd.DataFrame) -> pd.DataFrame:
    """mIoU and GMAC where the cost depends on the image, and of the dense network there: `ACCURACY` and `GMAC`."""
    points = operating_points(main)
    varying = points["varies"]
    shown = points["backbone"].isin(points.loc[varying, "backbone"]) & (varying | is_dense(points))
    return points.loc[shown, [*ACCURACY, *GMAC]].reset_index(drop=True)


def overview_points(main: pd.DataFrame) -> pd.DataFrame:
    """Operating points at the largest batch, all on the scale of one dense network.

    Returns:
        Columns `FAMILY`; the first row of each backbone is dense and the second the claim, counted from it; then the
        points of each family that no other point of it dominates, by rising speed.
    """
    timed = family_points(main).dropna(subset="speedup")
    fronts = [group[~dominated(group["speedup"], group["miou"])] for _, group in timed.groupby(["backbone", "family"])]
    dense = at_largest_batch(main[is_dense(main)]).assign(family="dense")
    stated: dict[str, Any] = {"speedup": CLAIM.speedup, "drop": CLAIM.drop}
    claim = dense.assign(
        **{"family": CLAIMED, "method": "", "schedule": "not stated"},
        **stated,
        **dict.fromkeys(["seeds", "miou_spread", "drop_spread", *SPEEDUP[1:]], float("nan")),
        miou=dense["miou"] - CLAIM.drop,
    )
    points = pd.concat([dense, claim, *(group.sort_values("speedup") for group in fronts)], ignore_index=True)
    ordered = beside_dense(points)[FAMILY].astype({"seeds": "Int64"})
    order = {name: place for place, name in enumerate(main["backbone"].unique())}
    return ordered.sort_values("backbone", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def batch_points(timed: pd.DataFrame) -> pd.DataFrame:
    """images/s and latency of dense and a few schedules of each strategy: columns `POINT`, batch, `RATE`, `LATENCY`."""
    timed = timed.dropna(subset="images_per_s")
    timed = sorted_by(timed, ["strategy", "gmac_ratio", "schedule", "batch"])
    chosen = []
    for (_, strategy), group in timed.drop_duplicates(POINT).groupby(["backbone", "strategy"]):
        nearest = [int((group["gmac_ratio"] - CLAIM.speedup).abs().fillna(np.inf).argmin())]
        even = np.linspace(0, len(group) - 1, SHOWN_SCHEDULES.get(str(strategy), 1)).round().astype(int)
        chosen.append(group.iloc[np.unique(even) if strategy in SHOWN_SCHEDULES else nearest])
    few = timed.merge(pd.concat(chosen)[POINT])
    return beside_dense(few)[[*POINT, "batch", *RATE, *LATENCY]].reset_index(drop=True)


def speedup_points(timed: pd.DataFrame) -> pd.DataFrame:
    """Speed-up and GMAC ratio at the smallest and the largest batch: columns `POINT`, batch, gmac_ratio, `SPEEDUP`."""
    timed = timed.dropna(subset="images_per_s")
    timed = timed[timed["batch"].isin([timed["batch"].min(), timed["batch"].max()])]
    data = timed.loc[timed["strategy"] != "dense", [*POINT, "batch", "gmac_ratio", *SPEEDUP]]
    return data.dropna(subset=["speedup", "gmac_ratio"]).reset_index(drop=True)


def floor_points(timed: pd.DataFrame) -> pd.DataFrame:
    """Time over floor of what was timed against its floor: columns `POINT`, batch, gmac_ratio, `FLOOR`."""
    return timed.loc[timed["floor_ratio"].notna(), [*POINT, "batch", "gmac_ratio", *FLOOR]].reset_index(drop=True)


def equal_speed_points(path: Path) -> pd.DataFrame:
    """What was chosen for each speed-up, from tables/equal_speed.csv: columns `EQUAL`.

    Raises:
        PaumerError: the file is unusable.
    """
    return read_table(path, EQUAL)[EQUAL]


def class_points(classes: pd.DataFrame) -> pd.DataFrame:
    """Drop of each class where patches pause, with recipe paumer if there is one; rows of `class_table`."""
    paused = classes[classes["strategy"] == "pause"]
    recipe = "paumer" if "paumer" in set(paused["recipe"]) else paused["recipe"].max()
    return paused[paused["recipe"] == recipe].reset_index(drop=True)


def loss_curves(paths: Sequence[Path]) -> pd.DataFrame:
    """Training loss of every run: columns `CURVE`, means over at most `MOST_STEPS` equal stretches of steps.

    Args:
        paths: `.../<backbone>/<recipe>/seed<k>/train.csv`; the folders name the run.

    Raises:
        PaumerError: a file is unusable, or its folders do not name a run.
    """
    return pd.concat(map(_curve, paths), ignore_index=True) if paths else pd.DataFrame(columns=CURVE)


def _curve(path: Path) -> pd.DataFrame:
    table = read_table(path, ["step", "loss"])
    seed, recipe, backbone = path.resolve().parts[-2:-5:-1]
    if not seed.removeprefix("seed").isdigit():
        raise PaumerError(f"{path}: expected .../<backbone>/<recipe>/seed<k>/{path.name}; name a run's file")
    stretch = np.arange(len(table)) * MOST_STEPS // max(MOST_STEPS, len(table))
    means = table.groupby(stretch)[["step", "loss"]].mean()
    return means.assign(backbone=backbone, recipe=recipe, seed=int(seed.removeprefix("seed")))[CURVE]


def read_semantics(folders: Sequence[Path], name: str) -> pd.DataFrame:
    """One table of all runs, mean and spread over their seeds.

    Args:
        folders: what `paumer semantics` wrote, once per run.
        name: of the table, a key of `TABLES`.

    Returns:
        Columns backbone, block, criterion, the table's keys, seeds, and each of its values with `_spread` beside it.

    Raises:
        PaumerError: a file is unusable, two hold the same run, or two rest on different data.
    """
    refuse_mixed_data([folder / "composition.csv" for folder in folders])  # which has the record of all four
    keys, values = TABLES[name]
    columns = [*SEMANTICS, "seed", *keys, *values]
    runs = [read_table(folder / f"{name}.csv", columns) for folder in folders]
    table = pd.concat(runs, ignore_index=True) if runs else pd.DataFrame(columns=columns)
    refuse_duplicates(table, [*SEMANTICS, *keys, "seed"], f"semantics, {name}")
    return over_seeds(table, values, [*SEMANTICS, *keys])


def calibration_points(folders: Sequence[Path]) -> pd.DataFrame:
    """Confidence and accuracy by bins of confidence, means over the seeds.

    Returns:
        Columns backbone, block (0: the final prediction), bin, seeds, confidence, accuracy and ece, each with its
        spread; a bin without pixels has neither confidence nor accuracy.

    Raises:
        PaumerError: a file is unusable.
    """
    keys, values = ["backbone", "block", "bin"], ["confidence", "accuracy", "ece"]
    runs = [read_table(folder / "calibration.csv", [*keys, "seed", *values]) for folder in folders]
    return over_seeds(pd.concat(runs, ignore_index=True), values, keys)


def middle_fraction(table: pd.DataFrame) -> float:
    """The fraction shown where there is room for one: the middle one, or the smaller of two."""
    fractions = sorted(table["fraction"].dropna().unique())
    return fractions[(len(fractions) - 1) // 2]
