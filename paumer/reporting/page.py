"""Write the report: one page that needs no other file and no network."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from paumer.errors import PaumerError
from paumer.files import read_json, write_text
from paumer.reporting.ablation import COLUMNS as ABLATION
from paumer.reporting.ablation import readable_ablation
from paumer.reporting.attribution import COLUMNS as ATTRIBUTION
from paumer.reporting.attribution import reasons
from paumer.reporting.captions import FIGURES, OVERVIEW, PAUSE_MAPS, SAMPLES, SEMANTICS
from paumer.reporting.claims import CLAIM
from paumer.reporting.criteria import COLUMNS as CRITERIA
from paumer.reporting.drops import COLUMNS as DROPS
from paumer.reporting.drops import readable_drops
from paumer.reporting.findings import findings
from paumer.reporting.formatting import Sheet, joined, narrowed
from paumer.reporting.headline import SPEEDUPS, counted, headline_notes
from paumer.reporting.interactive.assets import TEMPLATES, as_json, library, scripts, stylesheet
from paumer.reporting.interactive.sections import interactive_sections
from paumer.reporting.links import links
from paumer.reporting.noise import OFF, WIDE, noise_warnings
from paumer.reporting.order import descriptions
from paumer.reporting.points import POINT, read_main
from paumer.reporting.provenance import data_sheet, environment_sheet, read_runs, runs_sheet, settings_groups
from paumer.reporting.published import read_published
from paumer.reporting.readable import readable_bounds, readable_classes, readable_main, readable_methods
from paumer.reporting.readable_comparisons import readable_criteria, readable_published
from paumer.reporting.reading import read_table
from paumer.reporting.semantics import AT
from paumer.reporting.semantics import findings as semantic_findings
from paumer.reporting.speed import gmac_sheet, null_sheet, settings_timed
from paumer.reporting.speed_table import all_warnings, read_speed, readable_speed
from paumer.reporting.timings import in_first_setting, read_throughput
from paumer.strict_csv import read_text

TEMPLATE = "report.html.j2"
MIME = {".svg": "image/svg+xml", ".png": "image/png"}
CLASSES = [*POINT, "class", "iou", "iou_spread", "drop", "drop_spread"]


@dataclass(frozen=True)
class Picture:
    """An image inside the page."""

    source: str
    alt: str
    caption: str


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
    shown = noise_warnings(in_first_setting(read_throughput(throughput)))
    warnings = list(dict.fromkeys([*shown, *all_warnings(throughput)]))
    headline = read_text(tables / "headline.csv")
    methods = read_table(tables / "methods.csv", ["backbone", "method", "remark"])
    described = read_runs(runs)
    main, speed = read_main(tables / "main.csv"), read_speed(tables / "speed.csv")
    classes = read_table(tables / "classes.csv", CLASSES)
    files = [flops, throughput, machine, data, *measured, *runs]
    context = {
        "experiment": experiment,
        "strategies": descriptions(main["strategy"]),
        "claim": CLAIM,
        "speedups": [f"{asked:g}" for asked in SPEEDUPS],
        "findings": findings(main, reasons(read_table(tables / "attribution.csv", ATTRIBUTION))),
        "headline": Sheet(list(headline.columns), headline.to_numpy().tolist(), headline_notes(main)),
        "methods": _compact(readable_methods(methods, [])),
        "main": _compact(readable_main(main, [])),
        "criteria": readable_criteria(read_table(tables / "criteria.csv", CRITERIA)),
        "published": readable_published(read_published(tables / "published.csv")),
        "classes": readable_classes(classes),
        "drops": readable_drops(read_table(tables / "drops.csv", DROPS)),
        "ablations": _ablations(tables / "ablation.csv"),
        "bounds": readable_bounds(read_table(tables / "bounds.csv", ["backbone", "dense"])),
        "overview": _picture(figures / "overview.svg", OVERVIEW),
        "figures": {name: _picture(figures / f"{name}.png", words) for name, words in FIGURES.items()},
        "semantics": _semantics(figures),
        "samples": _if_there(figures / "samples.png", SAMPLES),
        "timings": _compact(readable_speed(speed, [])),
        "nulls": _compact(null_sheet(throughput)),
        "off": OFF,
        "wide": WIDE,
        "gmac": _compact(gmac_sheet(flops)),
        "timed": settings_timed(throughput),
        "warnings": warnings,
        "noise": f"{counted(warnings)}, {len(shown)} about those in the tables and figures",
        "runs": _compact(runs_sheet(described)),
        "environment": environment_sheet(described),
        "timing_environment": environment_sheet(read_runs([machine])),
        "settings": settings_groups(described),
        "data": data_sheet(data),
        "files": links(output, tables, figures, files),
    }
    curves = read_table(figures / "training.csv", ["backbone", "recipe", "seed", "step", "loss"])
    context |= _maps(figures) | interactive_sections(main, speed, classes, curves)
    write_text(output, _templates().get_template(TEMPLATE).render(context))


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


def _semantics(folder: Path) -> list[tuple[Picture, list[str]]]:
    """The figures of semantics that were drawn, and the sentences over them."""
    drawn = {name: words for name, words in SEMANTICS.items() if (folder / f"{name}.csv").exists()}
    return [
        (
            _picture(folder / f"{name}.png", words),
            semantic_findings(read_table(folder / f"{name}.csv", AT), name),
        )
        for name, words in drawn.items()
    ]


def _maps(figures: Path) -> dict[str, Any]:
    """Pause maps as pictures, and for the viewer where there is data for it."""
    pictures = [_if_there(path, PAUSE_MAPS) for path in sorted(figures.glob("pause_maps*.png"))]
    path = figures / "pause_maps.json"
    content = read_json(path) if path.exists() else {}
    return {
        "map_pictures": pictures,
        "maps": as_json(content) if content.get("samples") else None,
        "maps_network": content.get("network", ""),
    }


def _ablations(path: Path) -> list[Any]:
    return readable_ablation(read_table(path, ABLATION)) if path.exists() else []


def _if_there(path: Path, words: tuple[str, str]) -> Picture | None:
    return _picture(path, words) if path.exists() else None


def _picture(path: Path, words: tuple[str, str]) -> Picture:
    return Picture(_embedded(path), *words)


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
