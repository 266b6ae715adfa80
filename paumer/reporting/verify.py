"""Do the tables of an experiment follow from its raw files? Recompute and compare."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from paumer.config.runs import ABLATION
from paumer.reporting.frames import MEASURES, POINT
from paumer.reporting.provenance import experiment_folder, run_folders
from paumer.reporting.tables.ablation import WHOLE, write_ablation
from paumer.reporting.tables.speed import write_speed
from paumer.reporting.tables.write import write_tables
from paumer.reporting.timings import TIMED, measures_of_rounds, pixels, read_throughput
from paumer.system.errors import PaumerError
from paumer.system.files import MANIFEST, WEIGHTS, read_json, read_text, sha256

ROUNDING = 1e-3  # relative; both files are rounded


def verify(folder: Path, published: Path) -> list[str]:
    """What does not follow from the raw files, one sentence each.

    Compares accuracy.csv with the runs it was collected from, recorded checksums with the files, throughput.csv with
    the timed rounds, and every table with one that is computed anew.

    Args:
        folder: `results/EXPERIMENT`.
        published: published figures that the tables quote.

    Raises:
        PaumerError: a raw file is missing or unusable.
    """
    if not folder.is_dir():
        raise PaumerError(
            f"{folder}: {'is no folder' if folder.exists() else 'no such folder'}; name results/EXPERIMENT"
        )
    experiment_folder(folder / MANIFEST)
    return [*_accuracy(folder), *_checksums(folder), *check_timings(folder), *_tables(folder, published)]


def _accuracy(folder: Path) -> Iterator[str]:
    """Rows of accuracy.csv that no run has, and the other way round."""
    whole = folder / "accuracy.csv"
    if not whole.exists():
        return
    runs = [folder / name / whole.name for name in run_folders(folder) if f"/{ABLATION}" not in name]
    measured = pd.concat([read_text(path) for path in runs if path.exists()]).fillna("")
    collected = read_text(whole).fillna("")
    keys = [*POINT, "seed"]
    joined = collected.merge(measured, on=keys, how="outer", suffixes=("", " of the run"), indicator=True)
    for row in joined.to_dict("records"):
        name = f"{whole}: row {' '.join(filter(None, (row[key] for key in keys)))}"
        if row["_merge"] != "both":
            yield f"{name} is in {'no run' if row['_merge'] == 'left_only' else 'a run, but not here'}"
            continue
        for column in (column for column in collected.columns if f"{column} of the run" in row):
            if row[column] != row[f"{column} of the run"]:
                yield f"{name}: {column} is {row[column]}, but {row[f'{column} of the run']} in its run"


def _checksums(folder: Path) -> Iterator[str]:
    """Tables and weights that are not those that were recorded."""
    for path in (*folder.glob("*.json"), *folder.glob("runs/*/*/*/accuracy.json")):
        table = path.with_suffix(".csv")
        recorded = read_json(path) if table.exists() else {}
        if "sha256" in recorded and recorded["sha256"] != sha256(table):
            yield f"{table}: changed since it was measured"
        weights = recorded.get("inputs", {}).get(WEIGHTS)
        if weights and weights != sha256(path.parent / WEIGHTS):
            yield f"{path.parent / WEIGHTS}: changed since it was evaluated"


def check_timings(folder: Path) -> Iterator[str]:
    """Images/s, speed-ups and their intervals that are not those of their rounds, one sentence for each timing.

    Args:
        folder: where throughput.csv and throughput_rounds.csv are.

    Raises:
        PaumerError: one of them is unusable.
    """
    named = read_throughput(folder / "throughput.csv")
    named["variant"] = named[["strategy", "criterion", "schedule"]].apply(
        lambda row: " ".join(filter(None, row)), axis=1
    )
    rounds = measures_of_rounds(folder / "throughput_rounds.csv").drop(columns="rounds")
    joined = named.merge(rounds, on=[*TIMED, "variant"], how="left", suffixes=("", " of the rounds"))
    for row in joined.to_dict("records"):
        for name in MEASURES:
            value, computed = row[name], row[f"{name} of the rounds"]
            if pd.notna(value) and not abs(value / computed - 1) <= ROUNDING:
                variant = f"{row['backbone']} {row['variant']} ({pixels(row)}, batch {row['batch']})"
                yield f"{folder / 'throughput.csv'}: {variant}: {name} is {value:g}, but {computed:g} in its rounds"
                break


def _tables(folder: Path, published: Path) -> Iterator[str]:
    """Tables that are not what their inputs give."""
    accuracy, flops, throughput = (folder / name for name in ("accuracy.csv", "flops.csv", "throughput.csv"))
    with tempfile.TemporaryDirectory() as temporary:
        again = Path(temporary)
        write_speed(flops, throughput, again)
        if accuracy.exists():
            shares = sorted(folder.glob("runs/*/*/*/semantics/attribution.csv"))
            raw = (flops, throughput, folder / "bounds.csv", published)
            write_tables([accuracy], *raw, again, manifest=folder / MANIFEST, attribution=shares)
        if (folder / "tables/ablation.csv").exists():
            write_ablation(accuracy, _variants(folder), again)
        for path in sorted(again.iterdir()):
            table = folder / "tables" / path.name
            if not table.exists():
                yield f"{table}: is missing"
            elif table.read_bytes() != path.read_bytes():
                yield f"{table}: line {_first_difference(table, path)} is not what the raw files give"


def _variants(folder: Path) -> list[Path]:
    """The evaluated ablations, in the order of the table."""
    names = [name for name in read_text(folder / "tables/ablation.csv")["variant"].unique() if name != WHOLE]
    backbones = list(dict.fromkeys(read_text(folder / "accuracy.csv")["backbone"]))
    found = [
        path
        for backbone in backbones
        for name in names
        for path in sorted(folder.glob(f"runs/{backbone}/{ABLATION}{name}/seed*/accuracy.csv"))
    ]
    if not found:
        raise PaumerError(f"{folder}/runs: holds no evaluated ablation, but tables/ablation.csv has some")
    return found


def _first_difference(one: Path, other: Path) -> int:
    """The number of the first line that differs."""
    first, second = (path.read_text(encoding="utf-8").splitlines() for path in (one, other))
    same = (a == b for a, b in zip(first, second, strict=False))
    return next((number for number, equal in enumerate(same, start=1) if not equal), min(len(first), len(second)) + 1)
