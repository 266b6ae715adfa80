"""Where the numbers of a file come from: configuration, code, environment, data and seeds.

Stages write a record beside what they measured; `trace` joins the records that a file rests on.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from paumer.config.runs import ABLATION
from paumer.strategies.registry import SMALLER_BACKBONE
from paumer.system.errors import PaumerError
from paumer.system.files import MANIFEST, RUN, WEIGHTS, read_json, read_text, sha256
from paumer.system.machine import data_checksums

# The records of what is measured for the whole experiment.
MEASURED = {"flops": "flops.json", "bounds": "bounds.json", "throughput": "machine.json"}


def refuse_mixed_data(paths: Sequence[Path]) -> dict[str, str]:
    """Refuse files that rest on different data; those without a record are taken for what they are.

    Args:
        paths: tables, and the `data.json` of an experiment.

    Returns:
        The checksum of every split that they rest on, as far as it is known.

    Raises:
        PaumerError: two of them saw another split of one name.
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
    beside = path.with_name(MEASURED.get(path.stem, f"{path.stem}.json"))
    known = read_json(beside).get("data") if beside.exists() else None
    found = known if isinstance(known, dict) else {}
    if (path.parent / RUN).exists():
        run = read_json(path.parent / RUN)
        if run.get("data_sha256") and "split" in (run.get("settings") or {}):
            found = found | {run["settings"]["split"]: run["data_sha256"]}
    return found


def trace(path: Path) -> dict[str, Any]:
    """All that is known of where a file comes from.

    Returns:
        `file`, `sha256`, `data` (the manifest with its checksums), `runs` (for each run that the file rests on: seed,
        code, environment, settings, checksum of its weights, and how it was evaluated), `measured` (records of what
        was measured for the whole experiment), and for a table `rows`: the runs of each row, counted from 1.

    Raises:
        PaumerError: the file is missing, or lies in no results of an experiment.
    """
    checksum = sha256(path)
    folder = experiment_folder(path)
    rows = _rows(path, folder)
    named = {run for runs in rows for run in runs} or _around(path, folder)
    runs = {name: _describe_run(folder / name) for name in sorted(named)}
    measured = {name: read_json(folder / file) for name, file in MEASURED.items() if (folder / file).exists()}
    found: dict[str, Any] = {"file": str(path), "sha256": checksum, "data": read_json(folder / MANIFEST)}
    found |= {"runs": runs, "measured": measured}
    return found | ({"rows": dict(enumerate(rows, start=1))} if rows else {})


def experiment_folder(path: Path) -> Path:
    """The results folder that a file lies in.

    Raises:
        PaumerError: there is none.
    """
    for folder in path.resolve().parents:
        if (folder / MANIFEST).exists():
            return folder
    raise PaumerError(f"{path}: no {MANIFEST} in a folder above it; name a file of results/EXPERIMENT")


def run_folders(folder: Path) -> list[str]:
    """The runs of an experiment, `runs/BACKBONE/RECIPE/seedK`."""
    return sorted(str(path.parent.relative_to(folder)) for path in folder.glob(f"runs/*/*/seed*/{RUN}"))


def _rows(path: Path, folder: Path) -> list[list[str]]:
    """The runs behind every row of a table; empty for files of another kind, and where rows name no network."""
    if path.suffix != ".csv":
        return []
    table = read_text(path)
    if "backbone" not in table or not {"recipe", "variant"} & set(table.columns):
        return []
    runs = run_folders(folder)
    return [list(_runs_of(row, runs)) for row in table.to_dict("records")]


def _runs_of(row: dict[Any, str], runs: list[str]) -> Iterator[str]:
    """The runs of one row: that of its seed, or those of all seeds; none for a row that needs no trained network."""
    backbone = row["schedule"] if row.get("strategy") == SMALLER_BACKBONE else row["backbone"]
    recipe = row.get("recipe") or "paumer"
    if row.get("variant") not in (None, "", "paumer"):
        recipe = f"{ABLATION}{row['variant']}"
    seed = f"seed{row['seed']}" if row.get("seed") else None
    for name in runs:
        _, its_backbone, its_recipe, its_seed = name.split("/")
        if (its_backbone, its_recipe) == (backbone, recipe) and seed in (None, its_seed):
            yield name


def _around(path: Path, folder: Path) -> set[str]:
    """The run whose folder a file lies in; all runs for a file of the whole experiment."""
    runs = run_folders(folder)
    inside = {name for name in runs if (folder / name) in path.resolve().parents}
    return inside or set(runs)


def _describe_run(folder: Path) -> dict[str, Any]:
    """A run's own description, the checksum of its weights, and the record of its evaluation."""
    evaluation = folder / "accuracy.json"
    return {
        **read_json(folder / RUN),
        "weights_sha256": sha256(folder / WEIGHTS),
        "evaluation": read_json(evaluation) if evaluation.exists() else None,
    }
