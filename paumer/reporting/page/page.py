"""Write the report: one page that needs no other file and no network."""

import base64
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from paumer.reporting.figures.points import CURVE
from paumer.reporting.figures.points import SEMANTICS as SEMANTIC_COLUMNS
from paumer.reporting.frames import POINT, descriptions, read_main
from paumer.reporting.page.data import TEMPLATES, as_json, interactive_sections, library, scripts, stylesheet
from paumer.reporting.page.provenance import (
    data_sheet,
    environment_sheet,
    links,
    read_runs,
    runs_sheet,
    settings_groups,
)
from paumer.reporting.page.semantics import SENTENCES as SEMANTICS
from paumer.reporting.page.semantics import semantic_findings
from paumer.reporting.reading import read_table, read_text
from paumer.reporting.sheets import Sheet, joined, narrowed
from paumer.reporting.tables.ablation import COLUMNS as ABLATION
from paumer.reporting.tables.ablation import ablation_sheets
from paumer.reporting.tables.attribution import ATTRIBUTION, reasons
from paumer.reporting.tables.bounds import bounds_sheet
from paumer.reporting.tables.classes import class_sheets
from paumer.reporting.tables.criteria import CRITERIA, criteria_sheet
from paumer.reporting.tables.drops import DROPS, drop_sheets
from paumer.reporting.tables.headline import SPEEDUPS, counted, findings, headline_notes
from paumer.reporting.tables.main import main_sheet
from paumer.reporting.tables.methods import CLAIM, methods_sheet
from paumer.reporting.tables.noise import OFF, WIDE, noise_warnings, null_sheet
from paumer.reporting.tables.published import published_sheet, read_published
from paumer.reporting.tables.speed import gmac_sheet, read_speed, settings_timed, speed_sheet
from paumer.reporting.timings import in_first_setting, read_throughput
from paumer.system.errors import PaumerError
from paumer.system.files import read_json, write_text

# Those of every report; others are shown where there are any.
FIGURES = [
    *("overview.svg", "pareto_speed.png", "cost_spread.png", "drop_per_class.png", "throughput_batch.png"),
    *("speedup_gmac.png", "floor_overhead.png", "training.png"),
]
TEMPLATE = "report.html.j2"
MIME = {".svg": "image/svg+xml", ".png": "image/png"}
CLASSES = [*POINT, "class", "iou", "iou_spread", "drop", "drop_spread"]


def write_report(
    experiment: str,
    tables: Path,
    figures: Path,
    flops: Path,
    throughput: Path,
    machine: Path,
    runs: Sequence[Path],
    data: Path,
    output: Path,
    measured: Sequence[Path] = (),
) -> None:
    """Write the report page.

    Args:
        experiment: its name.
        tables: folder that `write_tables` and `write_speed` wrote; ablations are shown where it has their table.
        figures: folder that `write_figures` wrote; samples.png and pause_maps*.{png,json} in it are shown too, and so
            are the figures of semantics where there are any.
        flops: flops.csv.
        throughput: throughput.csv.
        machine: machine.json of the timings.
        runs: run.json of every run.
        data: manifest of the dataset.
        output: the page.
        measured: further files to link, such as accuracy.csv and training logs.

    Raises:
        PaumerError: a file is missing or unusable.
    """
    main, speed = read_main(tables / "main.csv"), read_speed(tables / "speed.csv")
    classes = read_table(tables / "classes.csv", CLASSES)
    pictures = _pictures(figures)
    curves = read_table(figures / "training.csv", CURVE)
    files = [flops, throughput, machine, data, *measured, *runs]
    context = {
        "experiment": experiment,
        "strategies": descriptions(main["strategy"]),
        "claim": CLAIM,
        "speedups": [f"{asked:g}" for asked in SPEEDUPS],
        "files": links(output, tables, figures, files),
        **_tables(tables, main, classes),
        **_timings(speed, flops, throughput),
        **pictures,
        **_origins(runs, machine, data),
        **interactive_sections(main, speed, classes, curves),
    }
    write_text(output, _templates().get_template(TEMPLATE).render(context))


def _tables(folder: Path, main: pd.DataFrame, classes: pd.DataFrame) -> dict[str, Any]:
    """Sheets of the tables on accuracy."""
    headline = read_text(folder / "headline.csv")
    methods = read_table(folder / "methods.csv", ["backbone", "method", "remark"])
    ablation = folder / "ablation.csv"
    return {
        "findings": findings(main, reasons(read_table(folder / "attribution.csv", ATTRIBUTION))),
        "headline": Sheet(list(headline.columns), headline.to_numpy().tolist(), headline_notes(main)),
        "methods": _compact(methods_sheet(methods, [])),
        "main": _compact(main_sheet(main, [])),
        "criteria": criteria_sheet(read_table(folder / "criteria.csv", CRITERIA)),
        "published": published_sheet(read_published(folder / "published.csv")),
        "classes": class_sheets(classes),
        "drops": drop_sheets(read_table(folder / "drops.csv", DROPS)),
        "ablations": ablation_sheets(read_table(ablation, ABLATION)) if ablation.exists() else [],
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
    """Pictures as data URIs, sentences on those of semantics, and the data of the viewer of pause maps."""
    drawn = [name for name in SEMANTICS if (figures / f"{name}.csv").exists()]
    samples, viewer = figures / "samples.png", figures / "pause_maps.json"
    found = [*(figures / name for name in FIGURES), *(figures / f"{name}.png" for name in drawn)]
    content = read_json(viewer) if viewer.exists() else {}
    return {
        "images": {path.stem: _embedded(path) for path in found}
        | {"samples": _embedded(samples) if samples.exists() else None},
        "semantics": {
            name: semantic_findings(read_table(figures / f"{name}.csv", SEMANTIC_COLUMNS), name) for name in drawn
        },
        "map_pictures": [_embedded(path) for path in sorted(figures.glob("pause_maps*.png"))],
        "maps": as_json(content) if content.get("samples") else None,
        "maps_network": content.get("network", ""),
    }


def _origins(runs: Sequence[Path], machine: Path, data: Path) -> dict[str, Any]:
    """Sheets of trained runs, data, environments and settings."""
    described = read_runs(runs)
    return {
        "runs": _compact(runs_sheet(described)),
        "environment": environment_sheet(described),
        "timing_environment": environment_sheet(read_runs([machine])),
        "settings": settings_groups(described),
        "data": data_sheet(data),
    }


def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["breakable"] = breakable
    templates.globals |= {"library": library(), "scripts": scripts(), "style": stylesheet()}
    return templates


def _compact(sheet: Sheet) -> Sheet:
    """A long table in few columns, so that it fits a screen."""
    named = joined(sheet, "method", POINT[1:4], "/")
    return narrowed(joined(named, "setting", ["type", "mode", "scope"], ", "))


def breakable(text: str) -> Markup:
    """A cell that may be broken where names and schedules are joined, and not within intervals and spreads."""
    kept = re.sub(r"(?<=±) |(?<=,) (?=[-\d.]+\])", "\N{NO-BREAK SPACE}", text)
    return Markup("<wbr>").join(re.split(r"(?<=[+>/])(?=.)", kept))


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
