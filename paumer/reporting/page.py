"""Write the report: one page that needs no other file and no network."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from paumer.errors import PaumerError
from paumer.files import read_json, write_text
from paumer.reporting.ablation import COLUMNS as ABLATION
from paumer.reporting.ablation import readable_ablation
from paumer.reporting.captions import FIGURES, PAUSE_MAPS, SAMPLES, SEMANTICS
from paumer.reporting.claims import CLAIM
from paumer.reporting.criteria import COLUMNS as CRITERIA
from paumer.reporting.formatting import with_interval, with_spread
from paumer.reporting.interactive.assets import TEMPLATES, as_json, library, scripts, stylesheet
from paumer.reporting.interactive.sections import interactive_sections
from paumer.reporting.links import links
from paumer.reporting.noise import noise_warnings
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

TEMPLATE = "report.html.j2"
MIME = {".svg": "image/svg+xml", ".png": "image/png"}
# Bytes.
LARGEST_SVG = 500_000
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
    warnings = noise_warnings(in_first_setting(read_throughput(throughput)))
    headline = read_table(tables / "headline.csv", ["backbone", "method", "remark"])
    described = read_runs(runs)
    main, speed = read_main(tables / "main.csv"), read_speed(tables / "speed.csv")
    classes = read_table(tables / "classes.csv", CLASSES)
    files = [flops, throughput, machine, data, *measured, *runs]
    context = {
        "experiment": experiment,
        "strategies": descriptions(main["strategy"]),
        "claim": CLAIM,
        "findings": findings(headline),
        "headline": readable_methods(headline, warnings),
        "main": readable_main(main, warnings),
        "criteria": readable_criteria(read_table(tables / "criteria.csv", CRITERIA)),
        "published": readable_published(read_published(tables / "published.csv")),
        "classes": readable_classes(classes),
        "ablations": _ablations(tables / "ablation.csv"),
        "bounds": readable_bounds(read_table(tables / "bounds.csv", ["backbone", "dense"])),
        "figures": {name: _figure(figures, name) for name in FIGURES},
        "semantics": _semantics(figures),
        "samples": _picture(figures / "samples.png", SAMPLES),
        "timings": readable_speed(speed, all_warnings(throughput)),
        "nulls": null_sheet(throughput),
        "gmac": gmac_sheet(flops),
        "timed": settings_timed(throughput),
        "warnings": warnings,
        "runs": runs_sheet(described),
        "environment": environment_sheet(described),
        "timing_environment": environment_sheet(read_runs([machine])),
        "settings": settings_groups(described),
        "data": data_sheet(data),
        "files": links(output, tables, figures, files),
    }
    curves = read_table(figures / "training.csv", ["backbone", "recipe", "seed", "step", "loss"])
    context |= _maps(figures) | interactive_sections(main, speed, classes, curves)
    write_text(output, _templates().get_template(TEMPLATE).render(context))


def findings(headline: pd.DataFrame) -> list[str]:
    """The best answers to the headline's two questions, one sentence each and backbone."""
    sentences = []
    measured = headline[headline["remark"] == ""]
    for backbone, rows in measured.groupby("backbone", sort=False):
        fast = rows.sort_values("fastest_speedup", ascending=False).iloc[0]
        sentences.append(
            f"{backbone}: no method stays within a drop of {CLAIM.drop:g} points."
            if pd.isna(fast["fastest_speedup"])
            else f"{backbone}: fastest within a drop of {CLAIM.drop:g} points is {_answer(fast, 'fastest')}."
        )
        accurate = rows.sort_values("most_accurate_drop").iloc[0]
        sentences.append(
            f"{backbone}: no method reaches a speed-up of {CLAIM.speedup:g}."
            if pd.isna(accurate["most_accurate_speedup"])
            else f"{backbone}: smallest drop at a speed-up of at least {CLAIM.speedup:g} is that of "
            f"{_answer(accurate, 'most_accurate')}."
        )
    return sentences


def _answer(row: pd.Series, group: str) -> str:
    speedup = with_interval(*(row[f"{group}_{name}"] for name in ("speedup", "speedup_low", "speedup_high")))
    drop = with_spread(row[f"{group}_drop"], row[f"{group}_drop_spread"])
    return f"{row['method']} with {row[f'{group}_schedule']}: speed-up {speedup}, drop {drop} points"


def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals |= {"library": library(), "scripts": scripts(), "style": stylesheet()}
    return templates


def _figure(folder: Path, name: str) -> Picture:
    """A figure as lines, or as pixels where there are so many lines that the page would open slowly."""
    lines, pixels = folder / f"{name}.svg", folder / f"{name}.png"
    large = lines.exists() and lines.stat().st_size > LARGEST_SVG
    return Picture(_embedded(pixels if large else lines), *(FIGURES | SEMANTICS)[name])


def _semantics(folder: Path) -> list[tuple[Picture, list[str]]]:
    """The figures of semantics that were drawn, and the sentences over them."""
    drawn = [name for name in SEMANTICS if (folder / f"{name}.csv").exists()]
    return [(_figure(folder, name), semantic_findings(read_table(folder / f"{name}.csv", AT), name)) for name in drawn]


def _maps(figures: Path) -> dict[str, Any]:
    """Pause maps as pictures, and for the viewer where there is data for it."""
    pictures = [_picture(path, PAUSE_MAPS) for path in sorted(figures.glob("pause_maps*.png"))]
    path = figures / "pause_maps.json"
    content = read_json(path) if path.exists() else {}
    return {
        "map_pictures": pictures,
        "maps": as_json(content) if content.get("samples") else None,
        "maps_network": content.get("network", ""),
    }


def _ablations(path: Path) -> list[Any]:
    return readable_ablation(read_table(path, ABLATION)) if path.exists() else []


def _picture(path: Path, words: tuple[str, str]) -> Picture | None:
    return Picture(_embedded(path), *words) if path.exists() else None


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
