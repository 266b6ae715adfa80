"""Origin of the numbers: data, runs, environment, settings, files. What old runs do not record stays empty."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from paumer.reporting.sheets import Sheet, number
from paumer.system.files import ExperimentFiles, read_json

SEVERAL_MACHINES = "These networks were trained on different machines, which scores may show in their last digits"
RUN_HEADINGS = [
    "backbone",
    "recipe",
    "seed",
    "steps",
    "epochs",
    "minutes",
    "final loss",
    "parameters (millions)",
    "code",
]

ENDINGS = (".csv", ".tex", ".pdf", ".svg", ".png")


def read_runs(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Read every run.json.

    Raises:
        PaumerError: a file is missing or is not JSON.
    """
    return [read_json(path) for path in paths]


def runs_sheet(runs: Sequence[dict[str, Any]]) -> Sheet:
    """One row per trained run; unknown values stay empty."""
    rows = []
    for run in runs:
        rows.append(
            [
                *(str(run.get(name, "")) for name in ("backbone", "recipe", "seed", "steps")),
                _scaled(run.get("epochs"), 1, 1),
                _scaled(run.get("wall_seconds"), 60, 1),
                _scaled(run.get("final_loss"), 1, 4),
                _scaled(run.get("parameters"), 1e6, 2),
                _code(run),
            ]
        )
    return Sheet(RUN_HEADINGS, rows)


def environment_sheet(runs: Sequence[dict[str, Any]]) -> Sheet:
    """The code, and one row per entry of the environment; where runs differ, all their values, and a note says so."""
    values: dict[str, list[str]] = {}
    for run in runs:
        for name, value in {"code": _code(run), **(run.get("environment") or {})}.items():
            if str(value) not in values.setdefault(name, []):
                values[name].append(str(value))
    rows = [[name, " | ".join(found)] for name, found in values.items()]
    several = [name for name in ("host", "device") if len(values.get(name, ())) > 1]
    notes = [f"{SEVERAL_MACHINES}: see {' and '.join(several)}."] if several else []
    return Sheet(["environment", "value"], rows, notes)


def settings_groups(runs: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Names of the runs that share settings (apart from the seed), and these settings as JSON."""
    groups: dict[str, list[str]] = {}
    for run in runs:
        settings = {name: value for name, value in (run.get("settings") or {}).items() if name != "seed"}
        text = json.dumps(settings, indent=2)
        groups.setdefault(text, []).append("/".join(str(run.get(name, "?")) for name in ("backbone", "recipe", "seed")))
    return [(", ".join(names), text) for text, names in groups.items()]


def data_sheet(data: Path) -> Sheet:
    """Dataset, splits and classes, and what stage `data` noted of them.

    Raises:
        PaumerError: the manifest is missing or is not JSON.
    """
    manifest = read_json(data)
    rows = [["dataset", str(manifest.get("dataset", ""))]]
    for name, split in (manifest.get("splits") or {}).items():
        ignored = f", {split['ignored']:.1%} of the pixels ignored" if split.get("ignored") else ""
        rows.append([f"split {name}", f"{split.get('images', 'unknown number of')} images{ignored}"])
    classes = [str(name) for name in manifest.get("classes") or []]
    rows.append(["classes", f"{len(classes)}: {', '.join(classes)}"])
    # What else describes the data in a line, such as a checksum; the folder concerns only this machine.
    known = {"dataset", "splits", "classes", "folder"}
    rows += [[name, str(value)] for name, value in manifest.items() if name not in known and not _nested(value)]
    return Sheet(["data", "value"], rows, [str(note) for note in manifest.get("notes") or []])


def _code(run: dict[str, Any]) -> str:
    """Version and revision of the code, as far as they are known."""
    code = run.get("code") or {}
    return " ".join(str(code[name]) for name in ("version", "revision") if name in code)


def _nested(value: Any) -> bool:
    return isinstance(value, dict | list)


def _scaled(value: Any, divisor: float, decimals: int) -> str:
    return number(value / divisor, decimals) if isinstance(value, int | float) else ""


def links(page: Path, files: ExperimentFiles, runs: Sequence[Path]) -> dict[str, dict[str, str]]:
    """What was measured, the tables, and the figures for a paper with what they show, as far as they exist.

    Args:
        page: the report; addresses are relative to it.
        files: of the experiment.
        runs: run.json of every run.

    Returns:
        Under each title the address of every file by its name.
    """
    measured = [
        files.flops,
        files.throughput,
        files.machine,
        files.manifest,
        files.accuracy,
        files.bounds,
        files.rounds,
    ]
    measured += [*(run.with_name("train.csv") for run in runs), *runs]
    groups = {
        "Measured": [path for path in measured if path.exists()],
        "Tables": _files(files.tables.iterdir()),
        "Figures, and what they show": _files(files.figures.iterdir()),
        "Figures for a paper": _files(files.figures.glob("paper/*")),
    }
    named = {title: [os.path.relpath(path, page.parent) for path in paths] for title, paths in groups.items() if paths}
    return {title: {name: quote(Path(name).as_posix()) for name in names} for title, names in named.items()}


def _files(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.suffix in ENDINGS)
