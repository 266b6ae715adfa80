"""What changed between two runs of one experiment: accuracy, speed and GMAC of every operating point that both hold."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from paumer.evaluation.confusions import NAME, Confusions
from paumer.measurement.bootstrap import Replicates
from paumer.measurement.changes import Change, error_over_seeds, losses
from paumer.measurement.intervals import NORMAL
from paumer.reporting.frames import INPUT_SHAPE, point_names
from paumer.reporting.reading import read_table, refuse_mixed_data, result_folder
from paumer.reporting.rounds import DENSE, FLOOR, TIMED, measures_of_rounds
from paumer.reporting.sheets import with_interval
from paumer.reporting.sources import essential, names_of
from paumer.reporting.tables.main import KEYS, read_accuracy
from paumer.reporting.timings import pixels
from paumer.strategies.registry import DENSE_AGAIN
from paumer.system.errors import PaumerError
from paumer.system.files import RUN, ExperimentFiles, read_json

REPLICATES = 400  # for a standard deviation; an interval's ends need more
MIOU = 0  # its place among the measures of a replicate
COUNTED = ["backbone", "decoder", "strategy", "schedule", "height", "width"]
SAME_GMAC = 1e-3  # relative; what counts as equal


def compare(first: Path, second: Path, max_drop: float, max_slowdown: float) -> tuple[list[str], str]:
    """Compare two runs of one experiment, of which the second came later.

    Args:
        first: `results/EXPERIMENT` of the run that is the reference.
        second: that of the other run.
        max_drop: points of mIoU that an operating point may lose.
        max_slowdown: share of its speed-up that it may lose.

    Returns:
        A line for each loss beyond noise, and a line that says what was compared.

    Raises:
        PaumerError: a folder is unusable, or the two differ in data or settings, or share nothing.
    """
    one, other = result_folder(first), result_folder(second)
    refuse_mixed_data([one.manifest, other.manifest])
    kinds = {
        "operating points": list(_accuracy(one, other, max_drop)),
        "timings": list(_speeds(one, other, -math.log1p(-max_slowdown))),
        "GMAC": list(_gmac(one, other)),
    }
    changes = [change for found in kinds.values() for change in found]
    if not changes:
        raise PaumerError(f"{second}: shares neither an operating point with a seed nor a timing with {first}")
    lost = losses(changes)
    lines = [f"loss: {text}" for name, found in kinds.items() for text in _lines(name, found, lost)]
    unknown = sum(math.isnan(change.error) for change in changes)
    blind = f"; noise unknown for {unknown}, which have one seed and no {NAME}" if unknown else ""
    counted = ", ".join(f"{len(found)} {name}" for name, found in kinds.items())
    tolerated = f"of more than {max_drop:g} points or {100 * max_slowdown:g}%"
    return lines, f"{first} to {second}: compared {counted}{blind}; losses beyond noise {tolerated}: {len(lost)}"


def _lines(kind: str, changes: list[Change], lost: list[Change]) -> Iterator[str]:
    for change in (change for change in changes if change in lost):
        low, high = change.interval
        if kind == "operating points":
            yield f"{change.name}, by {with_interval(change.worse, low, high)} points"
        elif kind == "timings":
            slower, least, most = (100 * -math.expm1(-value) for value in (change.worse, low, high))
            yield f"{change.name}, by {with_interval(slower, least, most, 1)}%"
        else:
            yield f"{change.name}, by {100 * math.expm1(change.worse):.1f}%"


def _accuracy(one: ExperimentFiles, other: ExperimentFiles, margin: float) -> Iterator[Change]:
    """Changes of mIoU, mean over the seeds that both have, with the noise of seeds and images."""
    if not (one.accuracy.exists() and other.accuracy.exists()):
        return
    tables = [read_accuracy([files.accuracy])[[*KEYS, "seed", "miou"]] for files in (one, other)]
    both = tables[0].merge(tables[1], on=[*KEYS, "seed"], suffixes=("", "_later"))
    both = both.assign(run=[names_of(row)[0] for row in both.to_dict("records")], name=point_names(both))
    images: dict[tuple[str, str, str, str], np.ndarray] = {}
    for run in both["run"].unique():
        _refuse_other_settings(one.folder / run, other.folder / run)
        images |= _by_image(one.folder / run / NAME, other.folder / run / NAME, run)
    for backbone, rows in both.groupby("backbone", sort=False):
        points = [part for _, part in rows.groupby(KEYS, sort=False)]
        errors = error_over_seeds([(part["miou"] - part["miou_later"]).to_numpy() for part in points])
        for part, error in zip(points, errors, strict=True):
            before, after = part["miou"].mean(), part["miou_later"].mean()
            keys = list(part[["run", "strategy", "criterion", "schedule"]].itertuples(index=False, name=None))
            drawn = [images[key] for key in keys if key in images]
            noise = float(np.std(np.mean(drawn, axis=0))) if len(drawn) == len(keys) else math.nan
            if math.isnan(noise) and len(part) > 1:
                noise = 0.0  # seeds alone tell
            name = f"accuracy of {backbone} {part['name'].iloc[0]} fell from {before:.2f} to {after:.2f}"
            yield Change(name, before - after, math.hypot(error, noise), margin)


def _by_image(one: Path, other: Path, run: str) -> dict[tuple[str, str, str, str], np.ndarray]:
    """By run and operating point the change of mIoU in every replicate; none where a file is missing.

    Raises:
        PaumerError: a file is unusable, or the two are of different images.
    """
    if not (one.exists() and other.exists()):
        return {}
    before, after = Confusions(one), Confusions(other)
    if before.images != after.images:
        raise PaumerError(f"{other}: its images, blocks or classes are not those of {one}; evaluate on the same data")
    replicates = Replicates(before.images.blocks, REPLICATES)
    found = {}
    for point in before.points:
        if point in after.points:
            drawn = [replicates.measures(file.of(point))[1:, MIOU] for file in (before, after)]
            found[(run, *point)] = drawn[0] - drawn[1]
    return found


def _speeds(one: ExperimentFiles, other: ExperimentFiles, margin: float) -> Iterator[Change]:
    """Changes of speed-ups over the dense network of the same run, as logarithms."""
    if not (one.rounds.exists() and other.rounds.exists()):
        return
    tables = [_with_errors(measures_of_rounds(files.rounds)) for files in (one, other)]
    both = tables[0].merge(tables[1], on=[*TIMED, "variant"], suffixes=("", "_later"))
    for row in both.to_dict("records"):
        setting = ", ".join(str(row[name]) for name in ("dtype", "mode", "scope"))
        where = f"{row['backbone']} {row['recipe']} {row['variant']}".replace("  ", " ")
        size = f"{setting}, {pixels(row)}, batch {row[INPUT_SHAPE[-1]]}"
        change = f"{row['speedup']:.2f} to {row['speedup_later']:.2f}"
        error = math.hypot(row["error"], row["error_later"])
        worse = math.log(row["speedup"] / row["speedup_later"])
        yield Change(f"speed-up of {where} ({size}) fell from {change}", worse, error, margin)


def _with_errors(timed: pd.DataFrame) -> pd.DataFrame:
    """Timings of operating points with the standard error of the logarithm of their speed-up.

    It follows from the interval over the rounds, but is no smaller than that of the variants that were timed beside
    it (root mean square), nor than what the null variants of the run, dense timed again, are off.
    """
    timed = timed.dropna(subset="speedup")
    own = np.log(timed["speedup_high"] / timed["speedup_low"]) / (2 * NORMAL)
    shown = ~timed["variant"].str.startswith((DENSE, FLOOR, DENSE_AGAIN))
    nulls = np.log(timed.loc[timed["variant"].str.startswith(DENSE_AGAIN), "speedup"])
    off = math.sqrt((nulls**2).mean()) if len(nulls) else 0.0
    timed = timed.assign(error=own)[shown]
    beside = timed.groupby(TIMED)["error"].transform(lambda errors: math.sqrt((errors**2).mean()))
    return timed.assign(error=timed["error"].clip(lower=beside).clip(lower=off))


def _gmac(one: ExperimentFiles, other: ExperimentFiles) -> Iterator[Change]:
    """Changes of the GMAC of what costs the same for every image, as logarithms; they are counted, so have no noise."""
    if not (one.flops.exists() and other.flops.exists()):
        return
    tables = [read_table(files.flops, [*COUNTED, "gmac_total"])[[*COUNTED, "gmac_total"]] for files in (one, other)]
    for row in tables[0].merge(tables[1], on=COUNTED, suffixes=("", "_later")).to_dict("records"):
        before, after = row["gmac_total"], row["gmac_total_later"]
        name = (
            f"GMAC of {row['backbone']} {row['strategy']} {row['schedule']} ({pixels(row)}) rose from {before:.4g} to"
        )
        yield Change(f"{name} {after:.4g}", math.log(after / before), 0.0, SAME_GMAC)


def _refuse_other_settings(one: Path, other: Path) -> None:
    """Refuse runs of different experiments; what only one version of the code has as a setting is not compared.

    Raises:
        PaumerError: a setting differs, or a record is unusable.
    """
    for name in (RUN, "accuracy.json"):
        before, after = (essential(read_json(run / name, settings=dict)["settings"]) for run in (one, other))
        ignored = {"sweep", "experiment"}
        if key := _difference(before, after, ignored):
            raise PaumerError(
                f"{other / name}: settings.{key} is not that of {one / name}; compare runs of one experiment"
            )


def _difference(one: Mapping[str, Any], other: Mapping[str, Any], ignored: set[str]) -> str:
    """The first key under which both have different values, with dots between levels; empty where there is none."""
    for key in (key for key in one if key in other and key not in ignored):
        if isinstance(one[key], dict) and isinstance(other[key], dict):
            if inner := _difference(one[key], other[key], ignored):
                return f"{key}.{inner}"
        elif one[key] != other[key]:
            return key
    return ""
