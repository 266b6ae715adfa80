"""CSV files of results: whole rows of one length under names that differ, or one line that says what is wrong."""

import csv
from io import StringIO
from pathlib import Path

import pandas as pd

from paumer.errors import PaumerError, summary
from paumer.files import read_bytes


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
