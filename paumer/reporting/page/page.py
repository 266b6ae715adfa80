"""Write the report: one page that needs no other file and no network."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from paumer.reporting.figures.points import CURVE
from paumer.reporting.figures.points import EQUAL as COMPARED
from paumer.reporting.figures.points import SEMANTICS as SEMANTIC_COLUMNS
from paumer.reporting.frames import POINT, descriptions, read_main
from paumer.reporting.page.data import as_json, interactive_sections, library
from paumer.reporting.page.provenance import (
    data_sheet,
    environment_sheet,
    links,
    read_runs,
    runs_sheet,
    settings_groups,
)
from paumer.reporting.page.rendering import scripts, templates
from paumer.reporting.page.semantics import SENTENCES as SEMANTICS
from paumer.reporting.page.semantics import semantic_findings
from paumer.reporting.reading import read_table, read_text
from paumer.reporting.sheets import Sheet, joined, narrowed
from paumer.reporting.tables.ablation import COLUMNS as ABLATION
from paumer.reporting.tables.ablation import ablation_sheets
from paumer.reporting.tables.attribution import ATTRIBUTION, reasons
from paumer.reporting.tables.bounds import bounds_sheet
from paumer.reporting.tables.calibration import CALIBRATION, calibration_sheet
from paumer.reporting.tables.classes import class_sheets
from paumer.reporting.tables.criteria import CRITERIA, criteria_sheet
from paumer.reporting.tables.drops import DROPS, drop_sheets
from paumer.reporting.tables.equal_speed import TABLE as EQUAL
from paumer.reporting.tables.equal_speed import equal_speed_sheets
from paumer.reporting.tables.headline import SPEEDUPS, counted, findings, headline_notes
from paumer.reporting.tables.main import main_sheet
from paumer.reporting.tables.methods import CLAIM, methods_sheet
from paumer.reporting.tables.noise import OFF, WIDE, noise_warnings, null_sheet
from paumer.reporting.tables.published import published_sheet, read_published
from paumer.reporting.tables.robustness import ROBUSTNESS, robustness_sheets
from paumer.reporting.tables.speed import gmac_sheet, read_speed, settings_timed, speed_sheet
from paumer.reporting.timings import in_first_setting, read_throughput
from paumer.system.errors import PaumerError
from paumer.system.files import ExperimentFiles, read_json, write_text

PAGE, TEMPLATE = "report.html", "report.html.j2"
MIME = {".svg": "image/svg+xml", ".png": "image/png"}
CLASSES = [*POINT, "class", "iou", "iou_spread", "drop", "drop_spread"]


def write_report(files: ExperimentFiles, runs: Sequence[Path]) -> None:
    """Write `report.html` into the folder of an experiment, which all stages before have written to.

    Ablations, samples, pause maps and figures of semantics are shown where there are any.

    Args:
        files: of the experiment; its folder has its name.
        runs: run.json of every run.

    Raises:
        PaumerError: a file is missing or unusable.
    """
    main, speed = read_main(files.main), read_speed(files.tables / "speed.csv")
    classes = read_table(files.tables / "classes.csv", CLASSES)
    curves, equal = read_table(files.figures / "training.csv", CURVE), files.figures / "drop_speedup.csv"
    compared = read_table(equal, COMPARED)[COMPARED] if equal.exists() else None
    output = files.folder / PAGE
    context = {
        "experiment": files.folder.resolve().name,
        "strategies": descriptions(main["strategy"]),
        "claim": CLAIM,
        "speedups": [f"{asked:g}" for asked in SPEEDUPS],
        "files": links(output, files, runs),
        **_tables(files.tables, main, classes),
        **_timings(speed, files.flops, files.throughput),
        **_pictures(files.figures),
        **_origins(files, runs),
        **interactive_sections(main, speed, classes, curves, compared),
    }
    environment = templates()
    environment.globals |= {"library": library(), "scripts": scripts()}
    environment.globals["embedded"] = lambda name: _embedded(files.figures / name)
    write_text(output, environment.get_template(TEMPLATE).render(context))


def _tables(folder: Path, main: pd.DataFrame, classes: pd.DataFrame) -> dict[str, Any]:
    """Sheets of the tables on accuracy."""
    headline = read_text(folder / "headline.csv")
    methods = read_table(folder / "methods.csv", ["backbone", "method", "remark"])
    ablation, equal, calibration = (folder / f"{name}.csv" for name in ("ablation", "equal_speed", "calibration"))
    robustness = folder / "robustness.csv"
    return {
        "findings": findings(main, reasons(read_table(folder / "attribution.csv", ATTRIBUTION))),
        "headline": Sheet(list(headline.columns), headline.to_numpy().tolist(), headline_notes(main)),
        "equal": equal_speed_sheets(read_table(equal, EQUAL)) if equal.exists() else [],
        "methods": _compact(methods_sheet(methods, [])),
        "main": _compact(main_sheet(main, [])),
        "criteria": criteria_sheet(read_table(folder / "criteria.csv", CRITERIA)),
        "published": published_sheet(read_published(folder / "published.csv")),
        "classes": class_sheets(classes),
        "drops": drop_sheets(read_table(folder / "drops.csv", DROPS)),
        "ablations": ablation_sheets(read_table(ablation, ABLATION)) if ablation.exists() else [],
        "robustness": robustness_sheets(read_table(robustness, ROBUSTNESS)) if robustness.exists() else [],
        "calibration": calibration_sheet(read_table(calibration, CALIBRATION)) if calibration.exists() else None,
        "bounds": bounds_sheet(read_table(folder / "bounds.csv", ["backbone", "dense"])),
    }


def _timings(speed: pd.DataFrame, flops: Path, throughput: Path) -> dict[str, Any]:
    """Sheets of speed and cost, and the warnings about noise, those of the tables and figures first."""
    timings = read_throughput(throughput)
    shown = noise_warnings(in_first_setting(timings))
    warnings = list(dict.fromkeys([*shown, *noise_warnings(timings)]))
    return {
        "timings": _compact(speed_sheet(speed, [])),
        "nulls": _compact(null_sheet(throughput)),
        "off": OFF,
        "wide": WIDE,
        "gmac": _compact(gmac_sheet(flops)),
        "timed": settings_timed(throughput),
        "warnings": warnings,
        "noise": f"{counted(warnings)}, {len(shown)} about those in the tables and figures",
    }


def _pictures(figures: Path) -> dict[str, Any]:
    """Names of pictures that not every report has, sentences on semantics, and the data of the viewer of pause maps."""
    drawn = [name for name in SEMANTICS if (figures / f"{name}.csv").exists()]
    viewer = figures / "pause_maps.json"
    content = read_json(viewer) if viewer.exists() else {}
    return {
        "semantics": {
            name: semantic_findings(read_table(figures / f"{name}.csv", SEMANTIC_COLUMNS[:2]), name) for name in drawn
        },
        "samples": [path.name for path in figures.glob("samples.png")],
        "map_pictures": sorted(path.name for path in figures.glob("pause_maps*.png")),
        "maps": as_json(content) if content.get("samples") else None,
        "maps_network": content.get("network", ""),
    }


def _origins(files: ExperimentFiles, runs: Sequence[Path]) -> dict[str, Any]:
    """Sheets of trained runs, data, environments and settings."""
    described = read_runs(runs)
    return {
        "runs": _compact(runs_sheet(described)),
        "environment": environment_sheet(described),
        "timing_environment": environment_sheet(read_runs([files.machine])),
        "settings": settings_groups(described),
        "data": data_sheet(files.manifest),
    }


def _compact(sheet: Sheet) -> Sheet:
    """A long table in few columns, so that it fits a screen."""
    named = joined(sheet, "method", POINT[1:4], "/")
    return narrowed(joined(named, "setting", ["type", "mode", "scope"], ", "))


def _embedded(path: Path) -> str:
    """The file as a data URI.

    Raises:
        PaumerError: it is missing.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise PaumerError(f"{path}: no such file; run the stage that draws it first") from None
    return f"data:{MIME[path.suffix]};base64,{base64.b64encode(content).decode()}"
