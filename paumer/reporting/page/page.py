"""Write the report: one page that needs no other file and no network.

Links from the report to the files that it is made of.

What the figures of the report show, in words: for those who cannot see them, and below them.
"""

import base64
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from paumer.reporting.figures.points import SEMANTICS as SEMANTIC_COLUMNS
from paumer.reporting.frames import (
    POINT,
    descriptions,
    in_first_setting,
    read_main,
    read_table,
    read_text,
    read_throughput,
)
from paumer.reporting.page.data import TEMPLATES, as_json, interactive_sections, library, scripts, stylesheet
from paumer.reporting.page.provenance import data_sheet, environment_sheet, read_runs, runs_sheet, settings_groups
from paumer.reporting.page.semantics import semantic_findings
from paumer.reporting.sheets import Sheet, joined, narrowed
from paumer.reporting.tables.ablation import COLUMNS as ABLATION
from paumer.reporting.tables.ablation import ablation_sheets
from paumer.reporting.tables.comparisons import CRITERIA, bounds_sheet, criteria_sheet, published_sheet, read_published
from paumer.reporting.tables.drops import ATTRIBUTION, DROPS, class_sheets, drop_sheets, reasons
from paumer.reporting.tables.headline import SPEEDUPS, counted, findings, headline_notes
from paumer.reporting.tables.main import main_sheet
from paumer.reporting.tables.methods import CLAIM, methods_sheet
from paumer.reporting.tables.speed import (
    OFF,
    WIDE,
    all_warnings,
    gmac_sheet,
    noise_warnings,
    null_sheet,
    read_speed,
    settings_timed,
    speed_sheet,
)
from paumer.system.errors import PaumerError
from paumer.system.files import read_json, write_text

ENDINGS = (".csv", ".tex", ".pdf", ".svg", ".png")


@dataclass(frozen=True)
class Link:
    """A file, as the page names and finds it."""

    text: str
    href: str


def links(page: Path, tables: Path, figures: Path, measured: Sequence[Path]) -> list[tuple[str, list[Link]]]:
    """What was measured, the tables, and the figures for a paper with what they show, each under a title.

    Args:
        page: the report; links are relative to it.
        tables: folder of the tables.
        figures: folder of the figures.
        measured: further files; those that are missing are left out.
    """
    groups = {
        "Measured": [path for path in measured if path.exists()],
        "Tables": _files(tables.iterdir()),
        "Figures, and what they show": _files(figures.iterdir()),
        "Figures for a paper": _files(figures.glob("paper/*")),
    }
    return [(title, [_link(path, page) for path in paths]) for title, paths in groups.items() if paths]


def _files(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.suffix in ENDINGS)


def _link(path: Path, page: Path) -> Link:
    relative = Path(os.path.relpath(path, page.parent)).as_posix()
    return Link(relative, quote(relative))


OVERVIEW = (
    "mIoU against images per second: a line for each family of methods, a star for the dense network, and a shaded "
    "region for what is claimed of PAUMER",
    "Each method by the best of its recipes, criteria and schedules, at the largest batch. Bars: 95% interval of the "
    "speed-up, and spread over seeds. The region is that of the claim of the abstract, which is of other data and "
    "another network: as fast or faster, with as small a drop from the dense network here.",
)
# name: (what a reader who cannot see it should know, what stands below it)
FIGURES = {
    "pareto_speed": (
        "Scatter plot of mIoU against images per second for every operating point, with the Pareto front",
        "mIoU against images/s. Bars: 95% interval of the speed-up, spread over seeds. Pale points are dominated. "
        "Hollow ones choose by the ground truth, and are no competitors. Thin lines join the best of each method. The "
        "open diamond lies where the published claim would, counted from this dense network.",
    ),
    "cost_spread": (
        "Scatter plot of mIoU against mean GMAC and its spread, of operating points whose cost depends on the image",
        "Where the cost depends on the image: mean GMAC, and bars from the 5th to the 95th percentile over the images.",
    ),
    "drop_per_class": (
        "Bar plot of the drop of each class, by criterion",
        "Drop of each class at the schedule whose speed-up is nearest the claimed one. Bars: spread over seeds.",
    ),
    "throughput_batch": (
        "Line plots of images per second, and of the latency of one batch, against batch size",
        "images/s and the latency of one batch against batch size, for dense and a few schedules. Bars: 95% interval "
        "of the speed-up.",
    ),
    "speedup_gmac": (
        "Scatter plots of measured speed-up against the ratio of GMAC, at the smallest and the largest batch",
        "Measured speed-up against GMAC ratio. Below the diagonal, saved computation saved no time.",
    ),
    "floor_overhead": (
        "Plot of the time over floor of every pausing schedule, by batch size, with a line at 1",
        "Time over floor of every pausing schedule, from the mildest to the strongest, with its 95% interval. At 1 "
        "heads, choosing, gather and write-back would be free.",
    ),
    "training": (
        "Line plot of training loss against steps",
        "Training loss of every run, one line per seed.",
    ),
}
# Those of networks with auxiliary heads that pause.
SEMANTICS = {
    "semantics_composition": (
        "Dot plots of the share of each class that pauses, and of its share among all patches that pause",
        "Left: how much of each class pauses, by the class of most pixels of a patch. Right: what pauses, by class. "
        "Error bars: spread over seeds.",
    ),
    "semantics_uniform": (
        "Line plots of the share of paused and of running patches with a label of one class, against the paused share",
        "Share of the patches whose labelled pixels all have one class, among those that pause and those that run on.",
    ),
    "semantics_boundary": (
        "Plots of mean entropy and error against the distance to a boundary, and of that distance among paused patches",
        "Left and middle: mean entropy of the heads, and their errors, by the distance from the centre of a patch to "
        "the nearest boundary between classes, in sides of a patch. Right: mean distance of what pauses and runs on.",
    ),
    "semantics_correlation": (
        "Line plots of the rank correlation and the AUROC of criteria with errors and gain, by block",
        "Left: rank correlation of criteria with the error of the head, of the final prediction, and the gain (one "
        "minus the other: what running on saves). Right: how well criteria tell patches where these are above 0.",
    ),
}
PAUSE_MAPS = (
    "Rows of example images: image, entropy map, paused patches, prediction and ground truth",
    "For each image: the image, the entropy that the auxiliary head sees, what paused where, the prediction with "
    "pausing, and the ground truth.",
)
SAMPLES = ("Nine images with their label maps", "Nine training images, labels below each.")

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
        "methods": _compact(methods_sheet(methods, [])),
        "main": _compact(main_sheet(main, [])),
        "criteria": criteria_sheet(read_table(tables / "criteria.csv", CRITERIA)),
        "published": published_sheet(read_published(tables / "published.csv")),
        "classes": class_sheets(classes),
        "drops": drop_sheets(read_table(tables / "drops.csv", DROPS)),
        "ablations": _ablations(tables / "ablation.csv"),
        "bounds": bounds_sheet(read_table(tables / "bounds.csv", ["backbone", "dense"])),
        "overview": _picture(figures / "overview.svg", OVERVIEW),
        "figures": {name: _picture(figures / f"{name}.png", words) for name, words in FIGURES.items()},
        "semantics": _semantics(figures),
        "samples": _if_there(figures / "samples.png", SAMPLES),
        "timings": _compact(speed_sheet(speed, [])),
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
            semantic_findings(read_table(folder / f"{name}.csv", SEMANTIC_COLUMNS), name),
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
    return ablation_sheets(read_table(path, ABLATION)) if path.exists() else []


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
