"""Measured files that are damaged: the tables come out, or one line names the file and nothing is written."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from hostile import NO_PLAIN_FILES, no_plain_files, refusal
from synthetic import Measured
from tiers import first

from paumer.reporting.reading import read_table, read_text
from paumer.reporting.tables.write import collect

JUNK = ["", "x", "nan", "inf", "-1", "1e400", "0", "\x00", "ü", "3:0.4", "dense", 'a"b', "9" * 400]
BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "it is empty"),
    "empty lines": (b"\n\n\n", "it is empty"),
    "no text": (b"a,b\n\xff,1\n", "invalid start byte"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "can't decode"),
    "a row that was cut": (b"a,b,c\n1,2,3\n1,2\n", "row 2 has 2 cells, not 3"),
    "a row with too many cells": (b"a,b\n1,2,3\n", "row 1 has 3 cells, not 2"),
    "a column too many in all rows": (b"a,b\n1,2,3\n4,5,6\n", "row 1 has 3 cells, not 2"),
    "two columns of one name": (b"a,a\n1,2\n", "two columns have one name"),
    "a quote that never ends": (b'a,b\n"1,2\n', "unexpected end of data"),
    "a cell of a million letters": (b"a,b\n1," + b"x" * 10**6 + b"\n", "field larger than field limit"),
    "binary": (bytes(range(128, 256)) * 10, "can't decode"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused(tmp_path: Path, command_line: CommandLine, name: str) -> None:
    content, problem = BAD[name]
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert problem in refusal(read_text, path)
    line = command_line.refuse("collect", path, "--output", tmp_path / "b.csv")
    assert line.startswith(f"{path}: not readable as CSV (")
    assert not (tmp_path / "b.csv").exists()


@pytest.mark.parametrize("kind", NO_PLAIN_FILES)
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    put = no_plain_files(tmp_path / "a.csv")[kind]
    put()
    assert "a.csv" in refusal(collect, [tmp_path / "a.csv"], tmp_path / "b.csv")


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("backbone,miou\nü,1\na b,1x\n")
    assert "column 'miou' must hold numbers" in refusal(read_table, tmp_path / "a.csv", ["backbone", "miou"])
    assert "column 'images' is missing" in refusal(read_table, tmp_path / "a.csv", ["images"])


@pytest.mark.parametrize("text", first(["", "nan", "inf", "-inf", "1e400"], 2))
def test_a_run_without_its_miou_is_refused(measured: Measured, run_tables, edit, tmp_path: Path, text: str) -> None:
    """A mean over the seeds would silently be one over some of them."""
    edit(measured.accuracy[0], lambda table: table.assign(miou=[text, *table["miou"][1:]]))
    assert "accuracy.csv: column 'miou' " in refusal(run_tables, measured, tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


def damaged(content: bytes, draw: np.random.Generator) -> bytes:
    """A CSV file with a cell, a row or a column that is wrong or missing, with other bytes, or cut off."""
    rows = list(csv.reader(io.StringIO(content.decode())))
    row, column = int(draw.integers(1, len(rows))), int(draw.integers(len(rows[0])))
    kind = draw.choice(["cell", "cell", "cell", "missing row", "row twice", "column", "end", "bytes"])
    if kind == "cell":
        rows[row][column] = str(draw.choice(JUNK))
    elif kind == "missing row":
        del rows[row]
    elif kind == "row twice":
        rows.append(rows[row])
    elif kind == "column":
        rows = [cells[:column] + cells[column + 1 :] for cells in rows]
    elif kind == "end":
        return content[: int(draw.integers(len(content)))]
    else:
        changed = bytearray(content)
        for place in draw.integers(0, len(changed), 3):
            changed[place] = draw.integers(0, 256)
        return bytes(changed)
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue().encode()


@pytest.mark.parametrize("cases", first([5, 20]))  # each writes all tables, which takes the time
def test_tables_of_damaged_measurements_come_out_or_not_at_all(
    measured: Measured, run_tables: Callable[[Measured, Path], None], tmp_path: Path, cases: int
) -> None:
    paths = [measured.accuracy[0], measured.flops, measured.throughput, measured.bounds, measured.published]
    whole = {path: path.read_bytes() for path in paths}
    refused = 0
    for seed in range(cases):
        path = paths[seed % len(paths)]
        path.write_bytes(damaged(whole[path], np.random.default_rng(seed)))
        tables = tmp_path / f"tables{seed}"
        try:
            run_tables(measured, tables)
        except Exception:
            assert refusal(run_tables, measured, tables)
            assert not tables.exists()
            refused += 1
        path.write_bytes(whole[path])
    assert refused > cases / 3
