"""Join accuracy, cost and speed into one row per operating point."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from paumer.reporting.frames import (
    COST,
    INPUT,
    NETWORK,
    POINT,
    at_first_size,
    criterion_key,
    describe,
    is_dense,
    join,
    ranks,
    read_table,
    recipe_key,
    refuse_duplicates,
    require_numbers,
    strategy_key,
)
from paumer.reporting.sheets import DECIMALS
from paumer.reporting.timings import add_throughput
from paumer.system.errors import PaumerError

KEYS = [*NETWORK, *POINT[1:]]
ACCURACY = [*KEYS, "seed", "miou", *COST]
FLOPS = [*NETWORK, "strategy", "schedule", "gmac_total"]


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


def main_table(accuracy: Sequence[Path], flops: Path, throughput: Path) -> pd.DataFrame:
    """Join the measured files into one row per operating point, rounded as it is written.

    Returns:
        Columns backbone, recipe, strategy, criterion, schedule, seeds, miou, miou_spread, drop, drop_spread (points;
        the spread is the standard deviation over seeds, NaN for one seed), gmac, gmac_ratio (dense / row), gmac_low and
        gmac_high (5th and 95th percentile over the images, NaN where all cost the same), windows (forward passes for an
        image, on average; gmac and images/s are of whole images), and for each batch B
        images_per_s_bB, speedup_bB, speedup_low_bB, speedup_high_bB, floor_ratio_bB, floor_low_bB, floor_high_bB (NaN:
        out of memory or skipped).

    Raises:
        PaumerError: a file is unusable, or a dense, GMAC or throughput row is missing.
    """
    table = read_accuracy(accuracy)
    points = over_seeds(add_drop(table, "miou", [*NETWORK, "seed"]), ["miou", "drop"], KEYS)
    points = points.merge(table.groupby(KEYS)[COST].mean().reset_index(), on=KEYS)
    points = add_gmac(points, flops).drop(columns="decoder")
    return _sort(add_throughput(points, throughput)).round(DECIMALS)


def add_drop(accuracy: pd.DataFrame, value: str, keys: Sequence[str]) -> pd.DataFrame:
    """Add `drop`: how far `value` lies below that of recipe dense run dense, row by row of the same `keys`.

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


def add_gmac(points: pd.DataFrame, flops: Path) -> pd.DataFrame:
    """Take an image's `gmac` from flops.csv where it stands there, which means that all cost the same.

    Added is `gmac_ratio`, too.

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
    gmac = points["gmac_total"].fillna(points["gmac"])
    if gmac.isna().any():
        name = describe(points[gmac.isna()], FLOPS[:-1])
        raise PaumerError(f"{flops}: no row for {name}, nor its gmac in accuracy; count it: run the flops stage again")
    dense = points.assign(dense_gmac=gmac).loc[is_dense(points), [*NETWORK, "dense_gmac"]]
    ratio = points.merge(dense, on=NETWORK)["dense_gmac"] / gmac
    low, high = (points[name].mask(fixed) for name in ("gmac_low", "gmac_high"))
    others = points.drop(columns=["gmac_total", *COST])
    return others.assign(gmac=gmac, gmac_ratio=ratio, gmac_low=low, gmac_high=high)


def _sort(points: pd.DataFrame) -> pd.DataFrame:
    """Small networks first, then recipes and strategies in their usual order, then from costly to cheap."""
    ranked = points.assign(
        size=(points["gmac"] * points["gmac_ratio"]).round(DECIMALS),
        recipe_rank=points["recipe"].map(ranks(points["recipe"], recipe_key)),
        strategy_rank=points["strategy"].map(ranks(points["strategy"], strategy_key)),
        criterion_rank=points["criterion"].map(ranks(points["criterion"], criterion_key)),
    )
    keys = ["size", "backbone", "recipe_rank", "strategy_rank", "gmac_ratio", "schedule", "criterion_rank"]
    return ranked.sort_values(keys)[list(points.columns)].reset_index(drop=True)
