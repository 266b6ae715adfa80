"""Read the files that were measured, check them, and join them; empty text stays empty, empty numbers become NaN.

The main table is long here: a row per operating point and batch size. Only main.csv has columns for each batch.
"""

import csv
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from paumer.reporting.sheets import TEXT
from paumer.strategies.contract import CHAIN
from paumer.strategies.criteria import CONTROLS
from paumer.strategies.registry import RECIPES, REGISTRY, SMALLER_BACKBONE, operating_point
from paumer.system.errors import PaumerError, summary
from paumer.system.files import RUN, data_checksums, read_bytes, read_json

INPUT = ["height", "width"]
INPUT_SHAPE = [*INPUT, "batch"]
NETWORK = ["backbone", "decoder"]
POINT = ["backbone", "recipe", "strategy", "criterion", "schedule"]
COST = ["gmac", "gmac_low", "gmac_high"]
MEASURES = [
    *("images_per_s", "speedup", "speedup_low", "speedup_high"),
    *("floor_ratio", "floor_low", "floor_high"),
]
SETTING = ["device", "dtype", "mode", "scope"]
# The records of what is measured for the whole experiment.
RECORDS = {"flops": "flops.json", "bounds": "bounds.json", "throughput": "machine.json"}

DENSE = "dense/dense"  # the method of the network that everything is compared with
CHANCE, BEST = CONTROLS  # the criteria that choose by chance, and by the ground truth
# The rows of a table that no registered strategy makes.
DENSE_KEY = ("dense", "every patch runs through every block")
SMALLER = (SMALLER_BACKBONE, "a smaller network, run dense: what the same time buys without any method")


def read_text(path: Path) -> pd.DataFrame:
    """Read a CSV file with every cell as the text it is.

    Raises:
        PaumerError: the file is missing or is no CSV file, or a row has more or fewer cells than the first.
    """
    remedy = "remove it and run its stage again"
    try:
        # pandas would fill a row that was cut off, and take a column too many for an index.
        table = [row for row in csv.reader(StringIO(read_bytes(path).decode(), newline=""), strict=True) if row]
    except FileNotFoundError:
        raise PaumerError(f"{path}: no such file; run the stage that writes it first") from None
    except (OSError, ValueError, csv.Error) as error:
        raise PaumerError(f"{path}: not readable as CSV ({summary(error)}); {remedy}") from None
    header, *rows = table or [[]]
    odd = next((number for number, row in enumerate(rows, start=1) if len(row) != len(header)), None)
    if odd is not None:
        found = f"row {odd} has {len(rows[odd - 1])} cells, not {len(header)}"
        raise PaumerError(f"{path}: not readable as CSV ({found}); {remedy}")
    if not header or len(set(header)) < len(header):
        raise PaumerError(
            f"{path}: not readable as CSV ({'two columns have one name' if header else 'it is empty'}); {remedy}"
        )
    return pd.DataFrame(rows, columns=header, dtype=str)


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a CSV file; columns named in `TEXT` stay text, all others are numbers.

    Args:
        path: the file.
        columns: those that must be there; a further column that holds no numbers stays text.

    Raises:
        PaumerError: the file or a column is missing, or a needed column does not hold numbers.
    """
    table = read_text(path)
    for name in columns:
        if name not in table:
            raise PaumerError(f"{path}: column {name!r} is missing; remove the file and run its stage again")
    for name in table.columns.difference(list(TEXT)):
        try:
            table[name] = pd.to_numeric(table[name])
        except ValueError:
            if name in columns:
                raise PaumerError(f"{path}: column {name!r} must hold numbers; run its stage again") from None
    return table


def require_numbers(table: pd.DataFrame, columns: Sequence[str], path: Path) -> None:
    """Refuse a table with an empty or infinite number in one of these columns.

    Raises:
        PaumerError: there is one; the text names column and row.
    """
    for name in columns:
        values = pd.to_numeric(table[name], errors="coerce")
        wrong = ~np.isfinite(values.to_numpy(dtype=float))
        if wrong.any():
            row = int(wrong.argmax()) + 1
            raise PaumerError(
                f"{path}: column {name!r} has no number in row {row}; remove the file and run its stage again"
            )


def at_first_size(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with the first input size of their backbone, which is the one that the main table shows."""
    return table[(table[INPUT] == table.groupby("backbone")[INPUT].transform("first")).all(axis=1)]


def join(left: pd.DataFrame, right: pd.DataFrame, keys: Sequence[str], origin: str, remedy: str) -> pd.DataFrame:
    """Put beside each row of `left` the one row of `right` with the same `keys`.

    Raises:
        PaumerError: `right` (called `origin`) has none, or several; the text names the keys and ends with `remedy`.
    """
    refuse_duplicates(right, keys, origin)
    joined = left.merge(right, on=list(keys), how="left", indicator="found")
    missing = joined[joined["found"] == "left_only"]
    if len(missing):
        raise PaumerError(f"{origin}: no row for {describe(missing, keys)}; {remedy}")
    return joined.drop(columns="found")


def refuse_duplicates(table: pd.DataFrame, keys: Sequence[str], origin: str) -> None:
    """Refuse a table with two rows of the same `keys`.

    Raises:
        PaumerError: it has; the text names them.
    """
    duplicates = table[table.duplicated(list(keys))]
    if len(duplicates):
        raise PaumerError(f"{origin}: more than one row for {describe(duplicates, keys)}; name each file once")


def refuse_mixed_data(paths: Sequence[Path]) -> dict[str, str]:
    """Refuse files that rest on different data; a file without a record is not checked.

    Args:
        paths: tables, and the `data.json` of an experiment.

    Returns:
        The checksum of every split that they rest on, as far as it is known.

    Raises:
        PaumerError: two files have different checksums of one split.
    """
    seen: dict[str, tuple[str, Path]] = {}
    for path in paths:
        for split, checksum in _data_behind(path).items():
            first, other = seen.setdefault(split, (checksum, path))
            if checksum != first:
                raise PaumerError(
                    f"{path} and {other}: measured on different data (split {split!r} was changed in between); run the "
                    "workflow again, or remove the older one and run its stage again"
                )
    return {split: checksum for split, (checksum, _) in seen.items()}


def _data_behind(path: Path) -> dict[str, str]:
    """The checksums of the splits that a table rests on, and of what the network beside it was trained on."""
    if path.suffix == ".json":
        return data_checksums(path)
    beside = path.with_name(RECORDS.get(path.stem, f"{path.stem}.json"))
    known = read_json(beside).get("data") if beside.exists() else None
    found = known if isinstance(known, dict) else {}
    if (path.parent / RUN).exists():
        run = read_json(path.parent / RUN)
        if run.get("data_sha256") and "split" in (run.get("settings") or {}):
            found = found | {run["settings"]["split"]: run["data_sha256"]}
    return found


def describe(table: pd.DataFrame, keys: Sequence[str]) -> str:
    """Name the first row of `table` by its filled `keys`, such as `backbone tiny, schedule 3:0.4`."""
    row = table.iloc[0]
    return ", ".join(f"{key} {row[key]}" for key in keys if row[key] != "")


def in_order(names: Iterable[str], key: Callable[[str], tuple]) -> list[str]:
    """Each name once, sorted by one of the keys below."""
    return sorted(set(names), key=key)


def ranks(names: Iterable[str], key: Callable[[str], tuple]) -> dict[str, int]:
    """The place of each name when sorted by one of the keys below."""
    return {name: place for place, name in enumerate(in_order(names, key))}


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
    wide = read_table(path, [*POINT, "seeds", "miou", "miou_spread", "drop", "drop_spread", *COST, "gmac_ratio"])
    first = f"{MEASURES[0]}_b"
    batches = [name.removeprefix(first) for name in wide.columns if name.startswith(first)]
    columns = {int(batch): {f"{name}_b{batch}": name for name in MEASURES} for batch in batches if batch.isdecimal()}
    missing = [name for names in columns.values() for name in names if name not in wide]
    if missing or not columns:
        name = missing[0] if missing else f"{MEASURES[0]}_bN"
        raise PaumerError(f"{path}: column {name!r} is missing; remove the file and run its stage again")
    common = with_methods(wide.drop(columns=[name for names in columns.values() for name in names]))
    parts = [
        common.assign(batch=batch).join(wide[list(names)].rename(columns=names))
        for batch, names in sorted(columns.items())
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
