"""The main table: accuracy, cost and speed of every operating point."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from paumer.reporting.frames import (
    COST,
    INPUT,
    MEASURES,
    MIOU,
    NETWORK,
    POINT,
    QUALITY,
    at_first_size,
    at_largest_batch,
    is_dense,
    sorted_by,
    with_methods,
)
from paumer.reporting.reading import describe, join, read_table, refuse_duplicates, require_numbers
from paumer.reporting.sheets import (
    DECIMALS,
    NOT_TIMED,
    Columns,
    Row,
    Sheet,
    beside,
    digits,
    drop_cell,
    few_seeds,
    miou_cell,
    named,
    rounded,
    sheet_of,
    significant,
    speedup_cell,
    spread_note,
    with_range,
)
from paumer.reporting.timings import in_first_setting, of_points, read_throughput, runs_on_windows
from paumer.system.errors import PaumerError

KEYS = [*NETWORK, *POINT[1:]]
ACCURACY = [*KEYS, "seed", "miou", *COST]
FLOPS = [*NETWORK, "strategy", "schedule", "gmac_total"]

WINDOWS = (
    "GMAC and images/s are of whole images. Timed were windows, of which an image has {} on average; cutting them and "
    "putting them together is not in images/s."
)
OWN_DENSE = (
    "* Timed on many images, beside a dense network that ran on the same ones: compare its speed-up, not images/s."
)
MEAN = "GMAC is the mean over the images."
RANGE = "GMAC in brackets: 5th and 95th percentile over the images, where what they show decides the cost."


def read_accuracy(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the accuracy files of all runs: one row per operating point and seed.

    Raises:
        PaumerError: no file is given, one is unusable, or two hold the same run.
    """
    if not paths:
        raise PaumerError("accuracy: no files are given; name the accuracy.csv of every run")
    table = pd.concat([_read_run(path) for path in paths], ignore_index=True)
    refuse_duplicates(table, [*KEYS, "seed"], "accuracy")
    return table


def _read_run(path: Path) -> pd.DataFrame:
    """The accuracy of one run; without its mIoU, a mean over the seeds would be one over some of them."""
    table = read_table(path, ACCURACY)
    require_numbers(table, ["seed", "miou"], path)
    for name in table.columns:
        if name.startswith("iou_") and not pd.api.types.is_numeric_dtype(table[name]):
            raise PaumerError(f"{path}: column {name!r} must hold numbers; run its stage again")
    return table


def main_table(
    accuracy: Sequence[Path],
    flops: Path,
    throughput: Path,
    intervals: Path | None = None,
    select: Path | None = None,
) -> pd.DataFrame:
    """Join the measured files into one row per operating point and batch size, rounded as it is written.

    Args:
        accuracy: accuracy.csv of every run.
        flops: GMAC of what costs the same for every image.
        throughput: timings.
        intervals: 95% intervals of drops over seeds and images, which add columns drop_low and drop_high.
        select: accuracy on the split that points are chosen on, which adds select_miou and select_drop, means over
            seeds, NaN where a point was not evaluated there.

    Returns:
        Columns backbone, recipe, strategy, criterion, schedule, seeds, miou, miou_spread, drop, drop_spread (points;
        the spread is the standard deviation over seeds, NaN for one seed), gmac, gmac_ratio (dense / row), gmac_low and
        gmac_high (5th and 95th percentile over the images, NaN where all cost the same), windows (forward passes for an
        image, on average; gmac and images/s are of whole images), method and varies (see `with_methods`), batch,
        images_per_s, speedup, speedup_low, speedup_high, floor_ratio, floor_low, floor_high (NaN: out of memory or
        skipped).

    Raises:
        PaumerError: a file is unusable, or a dense, GMAC or throughput row is missing.
    """
    table = read_accuracy(accuracy)
    points = over_seeds(add_drop(table, "miou", [*NETWORK, "seed"]), ["miou", "drop", *COST], KEYS)
    points = _add_gmac(points, flops)
    more: list[str] = []
    if intervals is not None:
        points, more = _add_intervals(points, intervals), [*more, "drop_low", "drop_high"]
    if select is not None:
        points, more = _add_selection(points, select), [*more, "select_miou", "select_drop"]
    points["size"] = (points["gmac"] * points["gmac_ratio"]).round(DECIMALS)  # small networks first
    order = ["size", "backbone", "recipe", "strategy", "gmac_ratio", "schedule", "criterion"]
    points = sorted_by(points, order)[[*QUALITY, *more]].reset_index(drop=True)
    return _add_throughput(points, throughput).round(DECIMALS)


def _add_intervals(points: pd.DataFrame, intervals: Path) -> pd.DataFrame:
    """Add drop_low and drop_high from intervals.csv.

    Raises:
        PaumerError: the file is unusable, or lacks an operating point.
    """
    table = read_table(intervals, [*POINT, "measure", "low", "high"])
    of_miou = table.loc[table["measure"] == MIOU, [*POINT, "low", "high"]]
    named = of_miou.rename(columns={"low": "drop_low", "high": "drop_high"})
    return join(points, named, POINT, str(intervals), "run the uncertainty stage again")


def _add_selection(points: pd.DataFrame, select: Path) -> pd.DataFrame:
    """Add select_miou and select_drop from the accuracy on the split that points are chosen on."""
    table = add_drop(read_accuracy([select]), "miou", [*NETWORK, "seed"])
    means = table.groupby(POINT, as_index=False)[["miou", "drop"]].mean()
    return points.merge(means.rename(columns={"miou": "select_miou", "drop": "select_drop"}), how="left", on=POINT)


def add_drop(accuracy: pd.DataFrame, value: str, keys: Sequence[str]) -> pd.DataFrame:
    """Add `drop`: how far `value` is below that of recipe dense run dense, row by row of the same `keys`.

    Raises:
        PaumerError: such a dense row is missing.
    """
    reference = accuracy.loc[is_dense(accuracy), [*keys, value]].rename(columns={value: "reference"})
    remedy = "every drop is counted from it, so train and evaluate recipe dense"
    joined = join(accuracy, reference, keys, "accuracy, recipe dense and strategy dense", remedy)
    return joined.assign(drop=joined["reference"] - joined[value]).drop(columns="reference")


def over_seeds(table: pd.DataFrame, values: Sequence[str], keys: Sequence[str]) -> pd.DataFrame:
    """Mean and spread (standard deviation; NaN for one seed) of `values` over the seeds of each `keys`."""
    grouped = table.groupby(list(keys), sort=False)
    columns = {"seeds": ("seed", "nunique")}
    for name in values:
        columns |= {name: (name, "mean"), f"{name}_spread": (name, "std")}
    return grouped.agg(**columns).reset_index()


def _add_gmac(points: pd.DataFrame, flops: Path) -> pd.DataFrame:
    """Take an image's `gmac` from flops.csv where that has it, which means that all cost the same; add `gmac_ratio`.

    Args:
        points: operating points with the gmac, gmac_low and gmac_high of accuracy.csv.
        flops: flops.csv; of each backbone its first input size counts.

    Raises:
        PaumerError: neither file holds the GMAC of an operating point.
    """
    counted = at_first_size(read_table(flops, [*FLOPS, *INPUT, "windows"]))
    counted = counted.assign(gmac_total=counted["gmac_total"] * counted["windows"])[FLOPS]
    refuse_duplicates(counted, FLOPS[:-1], str(flops))
    points = points.merge(counted, on=FLOPS[:-1], how="left")
    fixed = points["gmac_total"].notna()
    costs = {name: points[name].mask(fixed) for name in ("gmac_low", "gmac_high")}
    points = points.assign(gmac=points["gmac_total"].fillna(points["gmac"]), **costs)
    lacking = points[points["gmac"].isna()]
    if len(lacking):
        name = describe(lacking.iloc[0], FLOPS[:-1])
        raise PaumerError(f"{flops}: no row for {name}, nor its gmac in accuracy; count it: run the flops stage again")
    dense = points.loc[is_dense(points), [*NETWORK, "gmac"]]
    points = points.merge(dense, on=NETWORK, suffixes=("", "_of_dense"))
    return points.assign(gmac_ratio=points["gmac_of_dense"] / points["gmac"])


def _add_throughput(points: pd.DataFrame, throughput: Path) -> pd.DataFrame:
    """Put the timings beside the operating points, a row for each batch size, with `windows`, `method` and `varies`.

    Raises:
        PaumerError: an operating point was not timed at one of the batch sizes.
    """
    table = in_first_setting(read_throughput(throughput))
    points = points.assign(windows=points["backbone"].map(table.groupby("backbone")["windows"].first()))
    points = with_methods(points)
    parts = []
    for batch, part in table.groupby("batch"):
        origin = f"{throughput}, batch {batch}"
        refuse_duplicates(part, POINT, origin)
        timed = of_points(points, part[[*POINT, "batch", *MEASURES]])
        parts.append(join(points, timed, POINT, origin, "time it: run the throughput stage again"))
    return pd.concat(parts).sort_index(kind="stable", ignore_index=True)


def main_sheet(main: pd.DataFrame, warnings: Sequence[str] = ()) -> Sheet:
    """The main table, columns for each batch size side by side."""
    points: Columns = {
        **named(*POINT, "seeds"),
        "mIoU (points)": miou_cell,
        "drop (points) [95%]": drop_cell,
        "GMAC": lambda row: with_range(row["gmac"], row["gmac_low"], row["gmac_high"]),
        "GMAC ratio (dense / row)": rounded("gmac_ratio", 2),
    }
    notes = [*_notes(main, [RANGE, OWN_DENSE]), *warnings]
    speeds = [sheet_of(timed, _speeds(batch, runs_on_windows(main))) for batch, timed in main.groupby("batch")]
    return beside(sheet_of(main.drop_duplicates(POINT), points, notes), *speeds)


def _speeds(batch: Any, windows: bool) -> Columns:
    """images/s, windows/s where some were timed, speed-up and time over floor."""
    of_windows: Columns = {f"windows/s, batch {batch}": lambda row: significant(row["images_per_s"] * row["windows"])}
    return {
        f"images/s, batch {batch}": _rate,
        **(of_windows if windows else {}),
        f"speed-up, batch {batch} [95%]": speedup_cell,
        f"time / floor, batch {batch}": rounded("floor_ratio", 2),
    }


def _rate(row: Row) -> str:
    """images/s, marked where they were measured beside a dense network of the row's own."""
    if pd.isna(row["images_per_s"]):
        return NOT_TIMED
    return significant(row["images_per_s"]) + (" *" if row["varies"] else "")


def _notes(main: pd.DataFrame, varying: Sequence[str]) -> list[str]:
    windows = WINDOWS.format(", ".join(map(significant, main["windows"].unique())))
    return [
        spread_note(main),
        *(varying if main["varies"].any() else []),
        *([f"{NOT_TIMED.capitalize()}: out of memory or skipped."] if main["images_per_s"].isna().any() else []),
        *([windows] if runs_on_windows(main) else []),
        *few_seeds(main),
    ]


def main_by_backbone(main: pd.DataFrame, warnings: Sequence[str]) -> list[Sheet]:
    """Every operating point at its backbone's largest batch, in few columns; a sheet for each backbone."""
    points: Columns = {
        **named("method", "schedule"),
        "mIoU": miou_cell,
        "drop [95%]": drop_cell,
        "GMAC": digits("gmac"),
    }
    notes = [*_notes(main, [MEAN, OWN_DENSE]), *warnings]
    groups = at_largest_batch(main).groupby(["backbone", "batch"], sort=False)
    return [
        sheet_of(rows, points | _speeds(batch, windows=False), notes, title=str(backbone))
        for (backbone, batch), rows in groups
    ]
