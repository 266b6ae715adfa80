"""Write the report: one page that needs no other file, no script and no network."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from paumer.errors import PaumerError
from paumer.files import write_text
from paumer.reporting.claims import CLAIM
from paumer.reporting.criteria import COLUMNS as CRITERIA
from paumer.reporting.formatting import with_interval, with_spread
from paumer.reporting.noise import noise_warnings
from paumer.reporting.order import descriptions
from paumer.reporting.points import POINT, read_main
from paumer.reporting.provenance import data_sheet, environment_sheet, read_runs, runs_sheet, settings_groups
from paumer.reporting.published import read_published
from paumer.reporting.readable import readable_bounds, readable_classes, readable_headline, readable_main
from paumer.reporting.readable_comparisons import readable_criteria, readable_published
from paumer.reporting.reading import read_table
from paumer.reporting.semantics import AT
from paumer.reporting.semantics import findings as semantic_findings
from paumer.reporting.speed import gmac_sheet, null_sheet, settings_timed
from paumer.reporting.speed_table import all_warnings, read_speed, readable_speed
from paumer.reporting.timings import in_first_setting, read_throughput

TEMPLATE = "report.html.j2"
MIME = {".svg": "image/svg+xml", ".png": "image/png"}
# name: (what a reader who cannot see it should know, what stands below it)
FIGURES = {
    "pareto_speed": (
        "Scatter plot of mIoU against images per second for every operating point, with the Pareto front",
        "mIoU against images/s. Bars: 95% interval of the speed-up, spread over seeds. Pale points are dominated. "
        "Hollow ones choose by the ground truth, and are no competitors. Thin lines join the best of each method. The "
        "open diamond lies where the published claim would, counted from this dense network.",
    ),
    "pareto_gmac": (
        "Scatter plot of mIoU against GMAC for every operating point, with the Pareto front",
        "mIoU against GMAC per image. Horizontal bars: 5th to 95th percentile over the images, where what they show "
        "decides the cost. Pale points are dominated.",
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
    "training": ("Line plot of training loss against steps", "Training loss of every run, one line per seed."),
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
) -> None:
    """Write the report page.

    Args:
        experiment: its name.
        tables: folder that `write_tables` and `write_speed` wrote.
        figures: folder that `write_figures` wrote; samples.png and pause_maps*.png in it are shown too, and so are the
            figures of semantics where there are any.
        flops: flops.csv.
        throughput: throughput.csv.
        machine: machine.json of the timings.
        runs: run.json of every run.
        data: manifest of the dataset.
        output: the page.

    Raises:
        PaumerError: a file is missing or unusable.
    """
    warnings = noise_warnings(in_first_setting(read_throughput(throughput)))
    headline = read_table(tables / "headline.csv", ["backbone", "method", "remark"])
    described = read_runs(runs)
    main = read_main(tables / "main.csv")
    context = {
        "experiment": experiment,
        "strategies": descriptions(main["strategy"]),
        "claim": CLAIM,
        "findings": findings(headline),
        "headline": readable_headline(headline, warnings),
        "main": readable_main(main, warnings),
        "criteria": readable_criteria(read_table(tables / "criteria.csv", CRITERIA)),
        "published": readable_published(read_published(tables / "published.csv")),
        "classes": readable_classes(read_table(tables / "classes.csv", [*POINT, "class", "iou", "drop"])),
        "bounds": readable_bounds(read_table(tables / "bounds.csv", ["backbone", "dense"])),
        "figures": {name: _figure(figures, name) for name in FIGURES},
        "maps": [_pause_map(path) for path in sorted(figures.glob("pause_maps*.png"))],
        "semantics": _semantics(figures),
        "samples": _samples(figures / "samples.png"),
        "timings": readable_speed(read_speed(tables / "speed.csv"), all_warnings(throughput)),
        "nulls": null_sheet(throughput),
        "gmac": gmac_sheet(flops),
        "timed": settings_timed(throughput),
        "warnings": warnings,
        "runs": runs_sheet(described),
        "environment": environment_sheet(described),
        "timing_environment": environment_sheet(read_runs([machine])),
        "settings": settings_groups(described),
        "data": data_sheet(data),
    }
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_text(output, templates.get_template(TEMPLATE).render(context))


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


def _figure(folder: Path, name: str) -> Picture:
    return Picture(_embedded(folder / f"{name}.svg"), *(FIGURES | SEMANTICS)[name])


def _semantics(folder: Path) -> list[tuple[Picture, list[str]]]:
    """The figures of semantics that were drawn, and the sentences over them."""
    drawn = [name for name in SEMANTICS if (folder / f"{name}.csv").exists()]
    return [(_figure(folder, name), semantic_findings(read_table(folder / f"{name}.csv", AT), name)) for name in drawn]


def _pause_map(path: Path) -> Picture:
    return Picture(
        _embedded(path),
        "Rows of example images: image, entropy map, paused patches, prediction and ground truth",
        "For each image: the image, the entropy that the auxiliary head sees, what paused where, the prediction with "
        "pausing, and the ground truth.",
    )


def _samples(path: Path) -> Picture | None:
    if not path.exists():
        return None
    return Picture(_embedded(path), "Nine images with their label maps", "Nine training images, labels below each.")


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
