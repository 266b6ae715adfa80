"""Read measured files and check them; empty text stays empty, empty numbers become NaN."""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from paumer.reporting.sheets import TEXT
from paumer.system.errors import PaumerError, summary
from paumer.system.files import MANIFEST, RUN, ExperimentFiles, data_checksums, experiment_of, read_bytes, read_json

# The records of what is measured for the whole experiment.
RECORDS = {"flops": "flops.json", "bounds": "bounds.json", "throughput": "machine.json"}


def result_folder(folder: Path) -> ExperimentFiles:
    """The files of a folder `results/EXPERIMENT`.

    Raises:
        PaumerError: it is no folder, or no experiment is in it.
    """
    if not folder.is_dir():
        raise PaumerError(
            f"{folder}: {'is no folder' if folder.exists() else 'no such folder'}; name results/EXPERIMENT"
        )
    experiment_of(folder / MANIFEST)
    return ExperimentFiles(folder)


def read_text(path: Path) -> pd.DataFrame:
    """Read a CSV file with every cell as the text it is.

    Raises:
        PaumerError: the file is missing or is no CSV file, or a row has more or fewer cells than the first.
    """
    try:
        # pandas would fill a row that was cut off, and take a column too many for an index.
        table = [row for row in csv.reader(StringIO(read_bytes(path).decode(), newline=""), strict=True) if row]
        return pd.DataFrame(_checked(table)[1:], columns=table[0], dtype=str)
    except FileNotFoundError:
        raise PaumerError(f"{path}: no such file; run the stage that writes it first") from None
    except (OSError, ValueError, csv.Error) as error:
        raise PaumerError(
            f"{path}: not readable as CSV ({summary(error)}); remove it and run its stage again"
        ) from None


def _checked(table: list[list[str]]) -> list[list[str]]:
    """The rows of a CSV file; a ValueError says why they are no table."""
    if not table:
        raise ValueError("it is empty")
    for number, row in enumerate(table):
        if len(row) != len(table[0]):
            raise ValueError(f"row {number} has {len(row)} cells, not {len(table[0])}")
    if len(set(table[0])) < len(table[0]):
        raise ValueError("two columns have one name")
    return table


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


def join(left: pd.DataFrame, right: pd.DataFrame, keys: Sequence[str], origin: str, remedy: str) -> pd.DataFrame:
    """Put beside each row of `left` the one row of `right` with the same `keys`.

    Raises:
        PaumerError: `right` (called `origin`) has none, or several; the text names the keys and ends with `remedy`.
    """
    refuse_duplicates(right, keys, origin)
    joined = left.merge(right, on=list(keys), how="left", indicator="found")
    missing = joined[joined["found"] == "left_only"]
    if len(missing):
        raise PaumerError(f"{origin}: no row for {describe(missing.iloc[0], keys)}; {remedy}")
    return joined.drop(columns="found")


def refuse_duplicates(table: pd.DataFrame, keys: Sequence[str], origin: str) -> None:
    """Refuse a table with two rows of the same `keys`.

    Raises:
        PaumerError: it has; the text names them.
    """
    duplicates = table[table.duplicated(list(keys))]
    if len(duplicates):
        raise PaumerError(f"{origin}: more than one row for {describe(duplicates.iloc[0], keys)}; name each file once")


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


def describe(row: Mapping[Any, Any] | pd.Series, keys: Sequence[str]) -> str:
    """Name a row by its filled `keys`, such as `backbone tiny, schedule 3:0.4`."""
    return ", ".join(f"{key} {row[key]}" for key in keys if row[key] != "")
