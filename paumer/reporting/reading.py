"""Read the measured CSV files without guessing: empty text stays empty, empty numbers become NaN."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from paumer.errors import PaumerError
from paumer.strict_csv import read_text

TEXT = frozenset(
    [
        *("experiment", "backbone", "decoder", "recipe", "strategy", "criterion", "schedule"),
        *("device", "dtype", "mode", "scope", "status", "bound", "class"),
        *("source", "method", "variant", "dataset", "setting", "timing_note", "same", "between"),
        *("remark", "fastest_schedule", "most_accurate_schedule"),
        *("group", "bin", "target", "measure"),
    ]
)

INPUT = ["height", "width"]


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
    """Refuse a table that lacks a number in one of these columns, or has an endless one there.

    Raises:
        PaumerError: it does; the text names column and row.
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


def describe(table: pd.DataFrame, keys: Sequence[str]) -> str:
    """Name the first row of `table` by its filled `keys`, such as `backbone tiny, schedule 3:0.4`."""
    row = table.iloc[0]
    return ", ".join(f"{key} {row[key]}" for key in keys if row[key] != "")
