"""Operating points in the main table: which there are, what they are called, and in which order they come.

The main table is long here: a row per operating point and batch size. Only main.csv has columns for each batch.
"""

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from paumer.reporting.reading import read_table, read_text
from paumer.strategies.contract import CHAIN
from paumer.strategies.criteria import CONTROLS
from paumer.strategies.declared import RECIPES
from paumer.strategies.registry import REGISTRY, SMALLER_BACKBONE, operating_point
from paumer.system.errors import PaumerError

INPUT = ["height", "width"]
INPUT_SHAPE = [*INPUT, "batch"]
NETWORK = ["backbone", "decoder"]
METHOD = ["backbone", "recipe", "strategy", "criterion"]
POINT = [*METHOD, "schedule"]
MIOU, PIXELS = "mIoU", "pixel accuracy"  # measures of drops, beside the names of classes
COST = ["gmac", "gmac_low", "gmac_high"]
# What main.csv has of an operating point at any batch size.
QUALITY = [
    *(*POINT, "seeds", "miou", "miou_spread", "drop", "drop_spread"),
    *("gmac", "gmac_ratio", "gmac_low", "gmac_high"),
]
MEASURES = [
    *("images_per_s", "speedup", "speedup_low", "speedup_high"),
    *("floor_ratio", "floor_low", "floor_high"),
]
SETTING = ["device", "dtype", "mode", "scope"]

DENSE = "dense/dense"  # the method of the network that everything is compared with
CHANCE, BEST = CONTROLS  # the criteria that choose by chance, and by the ground truth
# The rows of a table that no registered strategy makes.
DENSE_KEY = ("dense", "every patch runs through every block")
SMALLER = (SMALLER_BACKBONE, "a smaller network, run dense: what the same time buys without any method")


def at_first_size(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with the first input size of their backbone, which is the one that the main table shows."""
    return table[(table[INPUT] == table.groupby("backbone")[INPUT].transform("first")).all(axis=1)]


def in_order(names: Iterable[str], key: Callable[[str], tuple]) -> list[str]:
    """Each name once, sorted by one of the keys below."""
    return sorted(set(names), key=key)


def recipe_key(recipe: str) -> tuple:
    """Sort recipes in their usual order, others after them."""
    return _place(recipe, list(RECIPES)), recipe


def parts_of(strategy: str) -> list[str]:
    """The single strategies of a composition, in the order in which they act."""
    return strategy.split(CHAIN)


def strategy_key(strategy: str) -> tuple:
    """Sort dense, the registered strategies in their order, others, and then compositions by their parts."""
    known = [DENSE_KEY[0], *(name for name in REGISTRY if name != DENSE_KEY[0])]
    return len(parts_of(strategy)), [_place(part, known) for part in parts_of(strategy)], strategy


def criterion_key(criterion: str) -> tuple:
    """Sort informed criteria before the controls."""
    return CONTROLS.index(criterion) + 1 if criterion in CONTROLS else 0, criterion


def sorted_by(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Sort by these columns; recipes, strategies and criteria come in their usual order."""
    keys = {"recipe": recipe_key, "strategy": strategy_key, "criterion": criterion_key}

    def places(values: pd.Series) -> pd.Series:
        key = keys.get(str(values.name))
        return values if key is None else values.map({name: at for at, name in enumerate(in_order(values, key))})

    return table.sort_values(columns, key=places)


def _place(name: str, known: list[str]) -> int:
    return known.index(name) if name in known else len(known)


def descriptions(strategies: Iterable[str]) -> list[tuple[str, str]]:
    """Name and description of each single strategy that occurs, alone or within a composition."""
    known = dict([DENSE_KEY, *((name, entry.description) for name, entry in REGISTRY.items()), SMALLER])
    parts = [part for strategy in strategies for part in parts_of(strategy)]
    return [(name, known[name]) for name in in_order(parts, strategy_key) if name in known]


def is_dense(table: pd.DataFrame) -> pd.Series:
    """Rows of the networks that were trained and run without any method."""
    return (table["recipe"] == "dense") & (table["strategy"] == "dense")


def method_names(table: pd.DataFrame) -> pd.Series:
    """What each row runs, apart from its schedule: `paumer/pause/entropy`, `multi-exit/early-exit`, `dense/dense`."""
    rows = table[["recipe", "strategy", "criterion"]].itertuples(index=False)
    return pd.Series(["/".join(part for part in row if part) for row in rows], index=table.index, dtype=str)


def point_names(table: pd.DataFrame) -> pd.Series:
    """Method and schedule of each row: `paumer/pause/entropy 3:0.4`."""
    return method_names(table) + " " + table["schedule"]


def with_methods(points: pd.DataFrame) -> pd.DataFrame:
    """Add `method`, and `varies`: whether the cost of the operating point depends on the image.

    Raises:
        PaumerError: an operating point is not possible.
    """
    rows = points[POINT[2:]].itertuples(index=False, name=None)
    varies = pd.Series([_varies(*row) for row in rows], index=points.index, dtype=bool)
    return points.assign(method=method_names(points), varies=varies)


@cache
def _varies(strategy: str, criterion: str, schedule: str) -> bool:
    if strategy in (DENSE_KEY[0], SMALLER_BACKBONE):
        return False
    return operating_point(strategy, criterion, schedule).varies


def read_main(path: Path) -> pd.DataFrame:
    """Read main.csv.

    Returns:
        The main table, see `paumer.reporting.tables.main.main_table`.

    Raises:
        PaumerError: the file is unusable.
    """
    first = f"{MEASURES[0]}_b"
    found = [name.removeprefix(first) for name in read_text(path).columns if name.startswith(first)]
    batches = sorted(int(batch) for batch in found if batch.isdecimal()) or [1]
    columns = {batch: {f"{name}_b{batch}": name for name in MEASURES} for batch in batches}
    measured = [name for names in columns.values() for name in names]
    wide = read_table(path, [*QUALITY, *measured])
    common = with_methods(wide.drop(columns=measured))
    parts = [
        common.assign(batch=batch).join(wide[list(names)].rename(columns=names)) for batch, names in columns.items()
    ]
    return pd.concat(parts).sort_index(kind="stable", ignore_index=True)


def to_wide(main: pd.DataFrame) -> pd.DataFrame:
    """The main table as main.csv has it: a row per operating point, and columns `images_per_s_b8` for each batch."""
    points = operating_points(main)
    parts = [group[MEASURES].add_suffix(f"_b{batch}").set_axis(points.index) for batch, group in main.groupby("batch")]
    return pd.concat([points.drop(columns=["method", "varies"]), *parts], axis="columns")


def operating_points(main: pd.DataFrame) -> pd.DataFrame:
    """One row per operating point of the main table, without what depends on the batch."""
    return main.drop(columns=["batch", *MEASURES]).drop_duplicates(POINT).reset_index(drop=True)


def at_largest_batch(main: pd.DataFrame) -> pd.DataFrame:
    """The rows of the main table at each backbone's largest batch at which its dense network fits into memory.

    Raises:
        PaumerError: it fits at none.
    """
    fits = main[is_dense(main) & main["images_per_s"].notna()]
    largest = fits.groupby("backbone", as_index=False)["batch"].max()
    for backbone in main["backbone"].unique():
        if backbone not in set(largest["backbone"]):
            raise PaumerError(f"throughput: dense {backbone} never fitted into memory; add a smaller batch")
    return main.merge(largest, on=["backbone", "batch"])


def on_one_scale(points: pd.DataFrame) -> pd.Series:
    """images/s of operating points of one setting, as if all had been timed beside one dense network.

    A machine is not equally fast in every minute: what was timed at different times, or on other images, only compares
    by its speed-up over the dense that was timed with it: that times the rate of the first dense is its rate here.

    Args:
        points: rows with backbone, strategy, batch, images_per_s and speedup, those of dense among them. Without a
            speed-up, as where dense does not fit into memory, images/s stay as measured.
    """
    keys = ["backbone", "batch"]
    dense = points[points["strategy"] == "dense"].drop_duplicates(keys).rename(columns={"images_per_s": "rate"})
    rate = points[keys].merge(dense[[*keys, "rate"]], how="left")["rate"].set_axis(points.index)
    return points["images_per_s"].mask(points["speedup"].notna(), rate * points["speedup"])


def with_speed_intervals(points: pd.DataFrame) -> pd.DataFrame:
    """Add images_per_s_low and images_per_s_high, the interval of the speed-up."""
    ends = {
        f"images_per_s_{side}": points["images_per_s"] * points[f"speedup_{side}"] / points["speedup"]
        for side in ("low", "high")
    }
    return points.assign(**ends)


def ends(table: pd.DataFrame, value: str) -> tuple[pd.Series, pd.Series]:
    """Low and high end of the interval of a column, NaN where it is unknown."""
    if f"{value}_low" in table:
        return table[f"{value}_low"], table[f"{value}_high"]
    spread = table.get(f"{value}_spread", pd.Series(np.nan, index=table.index))
    return table[value] - spread, table[value] + spread
