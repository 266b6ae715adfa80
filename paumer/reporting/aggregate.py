"""Join accuracy, cost and speed into one row per operating point."""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from paumer.errors import PaumerError
from paumer.reporting.formatting import DECIMALS
from paumer.reporting.reading import join, read_table, refuse_duplicates

NETWORK = ["backbone", "decoder"]
POINT = ["backbone", "recipe", "strategy", "criterion", "schedule"]
ACCURACY = [*NETWORK, "recipe", "strategy", "criterion", "schedule", "seed", "miou"]
FLOPS = [*NETWORK, "strategy", "schedule", "gmac_total"]
SETTING = ["device", "dtype", "mode", "scope"]
MEASURES = ["images_per_s", "speedup", "speedup_low", "speedup_high", "floor_ratio"]
THROUGHPUT = ["backbone", "strategy", "schedule", *SETTING, "batch", *MEASURES, "status"]

# Their order in tables; others follow.
RECIPES = {"dense": 0, "multi-exit": 1, "paumer": 2}
STRATEGIES = {"dense": 0, "pause": 1, "early-exit": 2}


def read_accuracy(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the accuracy files of all runs: one row per operating point and seed.

    Raises:
        PaumerError: no file is given, one is unusable, or two hold the same run.
    """
    if not paths:
        raise PaumerError("accuracy: no files are given; name the accuracy.csv of every run")
    table = pd.concat([read_table(path, ACCURACY) for path in paths], ignore_index=True)
    refuse_duplicates(table, [*NETWORK, *POINT[1:], "seed"], "accuracy")
    return table


def main_table(accuracy: Sequence[Path], flops: Path, throughput: Path) -> pd.DataFrame:
    """Join the measured files into one row per operating point, rounded as it is written.

    Returns:
        Columns backbone, recipe, strategy, criterion, schedule, seeds, miou, miou_spread, drop, drop_spread (points;
        the spread is the standard deviation over seeds, NaN for one seed), gmac, gmac_ratio (dense / row), and for
        each batch B images_per_s_bB, speedup_bB, speedup_low_bB, speedup_high_bB, floor_ratio_bB (NaN: out of memory).

    Raises:
        PaumerError: a file is unusable, or a dense, GMAC or throughput row is missing.
    """
    points = over_seeds(add_drop(read_accuracy(accuracy), "miou", [*NETWORK, "seed"]), "miou", [*NETWORK, *POINT[1:]])
    points = add_gmac(points, flops).drop(columns="decoder")
    return _sort(add_throughput(points, throughput)).round(DECIMALS)


def add_drop(accuracy: pd.DataFrame, value: str, keys: Sequence[str]) -> pd.DataFrame:
    """Add `drop`: how far `value` lies below that of recipe dense run dense, row by row of the same `keys`.

    Raises:
        PaumerError: such a dense row is missing.
    """
    dense = accuracy[(accuracy["recipe"] == "dense") & (accuracy["strategy"] == "dense")]
    reference = dense[[*keys, value]].rename(columns={value: "reference"})
    remedy = "every drop is counted from it, so train and evaluate recipe dense"
    joined = join(accuracy, reference, keys, "accuracy, recipe dense and strategy dense", remedy)
    return joined.assign(drop=joined["reference"] - joined[value]).drop(columns="reference")


def over_seeds(table: pd.DataFrame, value: str, keys: Sequence[str]) -> pd.DataFrame:
    """Mean and spread (standard deviation; NaN for one seed) of `value` and `drop` over the seeds of each `keys`."""
    grouped = table.groupby(list(keys), sort=False)
    columns = {"seeds": ("seed", "nunique")}
    for name in (value, "drop"):
        columns |= {name: (name, "mean"), f"{name}_spread": (name, "std")}
    return grouped.agg(**columns).reset_index()


def add_gmac(points: pd.DataFrame, flops: Path) -> pd.DataFrame:
    """Add `gmac` and `gmac_ratio` (dense / row).

    Raises:
        PaumerError: the GMAC of an operating point or of dense is missing.
    """
    table = read_table(flops, FLOPS).rename(columns={"gmac_total": "gmac"})
    dense = table[table["strategy"] == "dense"].rename(columns={"gmac": "dense_gmac"})
    remedy = "count it: run the flops stage again"
    joined = join(points, table[[*FLOPS[:-1], "gmac"]], FLOPS[:-1], str(flops), remedy)
    joined = join(joined, dense[[*NETWORK, "dense_gmac"]], NETWORK, f"{flops}, strategy dense", remedy)
    return joined.assign(gmac_ratio=joined["dense_gmac"] / joined["gmac"]).drop(columns="dense_gmac")


def read_throughput(path: Path) -> pd.DataFrame:
    """Read throughput.csv with whole batch sizes.

    Raises:
        PaumerError: it is unusable or empty.
    """
    table = read_table(path, THROUGHPUT)
    if table.empty:
        raise PaumerError(f"{path}: no rows; run the throughput stage again")
    return table.astype({"batch": int})


def in_first_setting(throughput: pd.DataFrame) -> pd.DataFrame:
    """The rows with device, number type, mode and scope of the first row: what the main table shows."""
    return throughput[(throughput[SETTING] == throughput[SETTING].iloc[0]).all(axis=1)]


def add_throughput(points: pd.DataFrame, throughput: Path) -> pd.DataFrame:
    """Add one set of columns for each batch size.

    Raises:
        PaumerError: an operating point was not timed at one of the batch sizes.
    """
    table = in_first_setting(read_throughput(throughput))
    keys = ["backbone", "strategy", "schedule"]
    remedy = "time it: run the throughput stage again"
    for batch, part in table.groupby("batch"):
        named = part[[*keys, *MEASURES]].rename(columns={name: f"{name}_b{batch}" for name in MEASURES})
        points = join(points, named, keys, f"{throughput}, batch {batch}", remedy)
    return points


def read_main(path: Path) -> pd.DataFrame:
    """Read a main table that was written before.

    Raises:
        PaumerError: it is unusable.
    """
    return read_table(path, [*POINT, "seeds", "miou", "miou_spread", "drop", "drop_spread", "gmac", "gmac_ratio"])


def batches(main: pd.DataFrame) -> list[int]:
    """The batch sizes that the main table has columns for, rising."""
    matches = [re.fullmatch(r"images_per_s_b(\d+)", name) for name in main.columns]
    return sorted(int(match[1]) for match in matches if match)


def per_batch(main: pd.DataFrame) -> pd.DataFrame:
    """One row per operating point and batch, in the order of `main`.

    Returns:
        The columns of `main` that concern no batch, `method`, `batch`, images_per_s, speedup, speedup_low, speedup_high
        and floor_ratio.
    """
    suffixed = [f"{name}_b{batch}" for name in MEASURES for batch in batches(main)]
    common = main.drop(columns=suffixed).assign(method=method_names(main))
    parts = [
        common.assign(batch=batch, **{name: main[f"{name}_b{batch}"] for name in MEASURES}) for batch in batches(main)
    ]
    return pd.concat(parts).sort_index(kind="stable", ignore_index=True)


def at_largest_batch(main: pd.DataFrame) -> pd.DataFrame:
    """The rows of `per_batch` at each backbone's largest batch at which its dense network fits into memory.

    Raises:
        PaumerError: it fits at none.
    """
    table = per_batch(main)
    fits = table[(table["strategy"] == "dense") & table["images_per_s"].notna()]
    largest = fits.groupby("backbone", as_index=False)["batch"].max()
    for backbone in main["backbone"].unique():
        if backbone not in set(largest["backbone"]):
            raise PaumerError(f"throughput: dense {backbone} never fitted into memory; add a smaller batch")
    return table.merge(largest, on=["backbone", "batch"])


def method_names(table: pd.DataFrame) -> pd.Series:
    """What each row runs, apart from its schedule: `paumer/pause/entropy`, `multi-exit/early-exit`, `dense/dense`."""
    rows = table[["recipe", "strategy", "criterion"]].itertuples(index=False)
    return pd.Series(["/".join(part for part in row if part) for row in rows], index=table.index, dtype=str)


def _sort(points: pd.DataFrame) -> pd.DataFrame:
    """Small networks first, then recipes and strategies in their usual order, then from costly to cheap."""
    ranked = points.assign(
        size=(points["gmac"] * points["gmac_ratio"]).round(DECIMALS),
        recipe_rank=points["recipe"].map(RECIPES),
        strategy_rank=points["strategy"].map(STRATEGIES),
    )
    keys = ["size", "backbone", "recipe_rank", "recipe", "strategy_rank", "strategy", "gmac_ratio", *POINT[:2:-1]]
    return ranked.sort_values(keys)[list(points.columns)].reset_index(drop=True)
