"""Check the tables of an experiment against its raw files, and trace a file to the runs and settings behind it.

Stages write a record beside what they measured; `trace` joins the records that a file rests on.
"""

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from paumer.config.runs import ABLATION
from paumer.reporting.frames import MEASURES, POINT
from paumer.reporting.reading import RECORDS, describe, read_text, result_folder
from paumer.reporting.rounds import TIMED, measures_of_rounds
from paumer.reporting.sheets import DECIMALS
from paumer.reporting.tables.ablation import UNCHANGED, write_ablation
from paumer.reporting.tables.speed import write_speed
from paumer.reporting.tables.write import write_tables
from paumer.reporting.timings import pixels, read_throughput
from paumer.strategies.registry import SMALLER_BACKBONE
from paumer.system.errors import PaumerError
from paumer.system.files import RUN, WEIGHTS, ExperimentFiles, experiment_of, read_json, sha256

ROUNDING = 1e-3  # relative, of values that are large beside their last decimal; both files are rounded


def verify(folder: Path, published: Path) -> list[str]:
    """Differences between an experiment's files and what its raw files give, one sentence each.

    Compares accuracy.csv with the runs it was collected from, recorded checksums with the files, throughput.csv with
    the timed rounds, and every table with one that is computed anew.

    Args:
        folder: `results/EXPERIMENT`.
        published: published figures that the tables quote.

    Raises:
        PaumerError: a raw file is missing or unusable.
    """
    files = result_folder(folder)
    return [*_accuracy(files), *_checksums(files), *check_timings(folder), *_tables(files, published)]


def _accuracy(files: ExperimentFiles) -> Iterator[str]:
    """Rows of accuracy.csv that no run has, and rows of runs that it lacks."""
    if not files.accuracy.exists():
        return
    runs = [run / files.accuracy.name for run in files.runs if not run.parent.name.startswith(ABLATION)]
    measured = pd.concat([read_text(path) for path in runs if path.exists()]).fillna("")
    joined = read_text(files.accuracy).merge(measured, how="outer", indicator="found")
    for row in joined[joined["found"] != "both"].to_dict("records"):
        where = "in no run" if row["found"] == "left_only" else "in a run, but not here"
        yield f"{files.accuracy}: row {describe(row, [*POINT, 'seed', 'miou'])} is {where}"


def _checksums(files: ExperimentFiles) -> Iterator[str]:
    """Tables and weights whose checksum differs from the recorded one."""
    for path in (*files.folder.glob("*.json"), *files.folder.glob("runs/*/*/*/accuracy.json")):
        table = path.with_suffix(".csv")
        recorded = read_json(path) if table.exists() else {}
        if "sha256" in recorded and recorded["sha256"] != sha256(table):
            yield f"{table}: changed since it was measured"
        weights = recorded.get("inputs", {}).get(WEIGHTS)
        if weights and weights != sha256(path.parent / WEIGHTS):
            yield f"{path.parent / WEIGHTS}: changed since it was evaluated"


def check_timings(folder: Path) -> Iterator[str]:
    """Images/s, speed-ups and intervals that differ from those of the timed rounds, one sentence for each timing.

    Args:
        folder: of throughput.csv and throughput_rounds.csv.

    Raises:
        PaumerError: one of them is unusable.
    """
    files = ExperimentFiles(folder)
    timings = read_throughput(files.throughput)
    variants = [" ".join(filter(None, row)) for row in timings[POINT[2:]].itertuples(index=False)]
    rounds = measures_of_rounds(files.rounds).drop(columns="rounds")
    joined = timings.assign(variant=variants).merge(
        rounds, on=[*TIMED, "variant"], how="left", suffixes=("", " of the rounds")
    )
    for row in joined.to_dict("records"):
        for name in MEASURES:
            value, computed = row[name], row[f"{name} of the rounds"]
            if pd.notna(value) and not math.isclose(value, computed, rel_tol=ROUNDING, abs_tol=10**-DECIMALS):
                variant = f"{row['backbone']} {row['variant']} ({pixels(row)}, batch {row['batch']})"
                yield f"{files.throughput}: {variant}: {name} is {value:g}, but {computed:g} in its rounds"
                break


def _tables(files: ExperimentFiles, published: Path) -> Iterator[str]:
    """Tables that are missing or differ from those computed from the raw files."""
    with tempfile.TemporaryDirectory() as temporary:
        again = Path(temporary)
        write_speed(files.flops, files.throughput, again)
        if files.accuracy.exists():
            raw = (files.flops, files.throughput, files.bounds, published)
            write_tables([files.accuracy], *raw, again, manifest=files.manifest, **_further(files))
        if (files.tables / "ablation.csv").exists():
            write_ablation(files.accuracy, _variants(files), again)
        for path in sorted(again.iterdir()):
            table = files.tables / path.name
            if not table.exists():
                yield f"{table}: is missing"
            elif table.read_bytes() != path.read_bytes():
                yield f"{table}: line {_first_difference(table, path)} is not what the raw files give"


def _further(files: ExperimentFiles) -> dict[str, Any]:
    """What tables are also made of, where the experiment has it, by the name that `write_tables` gives it."""
    names = {
        "intervals": "intervals",
        "select": "select_accuracy",
        "chosen": "chosen",
        "transferred": "transferred",
        "robustness": "robustness",
    }
    found = {name: files.folder / f"{file}.csv" for name, file in names.items()}
    of_runs = {
        name: sorted(files.folder.glob(f"runs/*/*/*/semantics/{name}.csv")) for name in ("attribution", "calibration")
    }
    return of_runs | {name: path for name, path in found.items() if path.exists()}


def _variants(files: ExperimentFiles) -> list[Path]:
    """The evaluated ablations, in the order of the table."""
    names = [name for name in read_text(files.tables / "ablation.csv")["variant"].unique() if name != UNCHANGED]
    found = [
        path
        for backbone in read_text(files.accuracy)["backbone"].unique()
        for name in names
        for path in sorted(files.folder.glob(f"runs/{backbone}/{ABLATION}{name}/seed*/accuracy.csv"))
    ]
    if not found:
        raise PaumerError(f"{files.folder}/runs: holds no evaluated ablation, but tables/ablation.csv has some")
    return found


def _first_difference(one: Path, other: Path) -> int:
    """The number of the first line that differs."""
    first, second = (path.read_text(encoding="utf-8").splitlines() for path in (one, other))
    same = (a == b for a, b in zip(first, second, strict=False))
    return next((number for number, equal in enumerate(same, start=1) if not equal), min(len(first), len(second)) + 1)


def trace(path: Path) -> dict[str, Any]:
    """Everything recorded about the origin of a file.

    Returns:
        `file`, `sha256`, `data` (the manifest with its checksums), `runs` (for each run that the file rests on: seed,
        code, environment, settings, checksum of its weights, and how it was evaluated), `measured` (records of what
        was measured for the whole experiment), and for a table `rows`: the runs of each row, counted from 1.

    Raises:
        PaumerError: the file is missing, or is in no results of an experiment.
    """
    checksum = sha256(path)
    files = experiment_of(path)
    runs = {str(run.relative_to(files.folder)): run for run in files.runs}
    rows = _rows(path, list(runs))
    inside = {name for name, run in runs.items() if run in path.resolve().parents}
    named = {run for runs in rows for run in runs} or inside or set(runs)
    measured = {name: files.folder / file for name, file in RECORDS.items() if (files.folder / file).exists()}
    found = {
        "file": str(path),
        "sha256": checksum,
        "data": read_json(files.manifest),
        "runs": {name: _describe_run(runs[name]) for name in sorted(named)},
        "measured": {name: read_json(record) for name, record in measured.items()},
    }
    return found | ({"rows": dict(enumerate(rows, start=1))} if rows else {})


def _rows(path: Path, runs: list[str]) -> list[list[str]]:
    """The runs behind every row of a table; empty for files of another kind, and where rows name no network."""
    if path.suffix != ".csv":
        return []
    table = read_text(path)
    if "backbone" not in table or not {"recipe", "variant"} & set(table.columns):
        return []
    return [list(_runs_of(row, runs)) for row in table.to_dict("records")]


def _runs_of(row: dict[Any, str], runs: list[str]) -> Iterator[str]:
    """The runs of one row: that of its seed, or those of all seeds; none for a row that needs no trained network."""
    backbone = row["schedule"] if row.get("strategy") == SMALLER_BACKBONE else row["backbone"]
    recipe = row.get("recipe") or "paumer"
    if row.get("variant") not in (None, "", UNCHANGED):
        recipe = f"{ABLATION}{row['variant']}"
    seed = f"seed{row['seed']}" if row.get("seed") else None
    for name in runs:
        _, its_backbone, its_recipe, its_seed = name.split("/")
        if (its_backbone, its_recipe) == (backbone, recipe) and seed in (None, its_seed):
            yield name


def _describe_run(folder: Path) -> dict[str, Any]:
    """A run's own description, the checksum of its weights, and the record of its evaluation."""
    evaluation = folder / "accuracy.json"
    return {
        **read_json(folder / RUN),
        "weights_sha256": sha256(folder / WEIGHTS),
        "evaluation": read_json(evaluation) if evaluation.exists() else None,
    }
