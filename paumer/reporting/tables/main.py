"""The main table: accuracy, cost and speed of every operating point."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from paumer.reporting.frames import (
    COST,
    INPUT,
    MEASURES,
    NETWORK,
    POINT,
    at_first_size,
    at_largest_batch,
    criterion_key,
    describe,
    is_dense,
    join,
    ranks,
    read_table,
    recipe_key,
    refuse_duplicates,
    require_numbers,
    strategy_key,
    with_methods,
)
from paumer.reporting.sheets import (
    DECIMALS,
    NOT_TIMED,
    SPREAD,
    Row,
    Sheet,
    drop_cell,
    few_seeds,
    latex,
    latex_notes,
    number,
    significant,
    speedup_cell,
    with_range,
    with_spread,
)
from paumer.reporting.timings import in_first_setting, of_points, read_throughput, runs_on_windows
from paumer.system.errors import PaumerError

KEYS = [*NETWORK, *POINT[1:]]
ACCURACY = [*KEYS, "seed", "miou", *COST]
FLOPS = [*NETWORK, "strategy", "schedule", "gmac_total"]

WINDOWS = (
    "GMAC and images/s are of whole images. Timed were windows, of which an image has {} on average; cutting them and "
    "putting them together is not in images/s."
)
OWN_DENSE = (
    "* Timed on many images, beside a dense network that ran on the same ones: compare its speed-up, not images/s."
)
RANGE = "GMAC in brackets: 5th and 95th percentile over the images, where what they show decides the cost."


def read_accuracy(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the accuracy files of all runs: one row per operating point and seed.

    Raises:
        PaumerError: no file is given, one is unusable, or two hold the same run.
    """
    if not paths:
        raise PaumerError("accuracy: no files are given; name the accuracy.csv of every run")
    table = pd.concat([_read_run(path) for path in paths], ignore_index=True)
    refuse_duplicates(table, [*KEYS, "seed"], "accuracy")
    return table


def _read_run(path: Path) -> pd.DataFrame:
    """The accuracy of one run; without its mIoU, a mean over the seeds would be one over some of them."""
    table = read_table(path, ACCURACY)
    require_numbers(table, ["seed", "miou"], path)
    for name in table.columns:
        if name.startswith("iou_") and not pd.api.types.is_numeric_dtype(table[name]):
            raise PaumerError(f"{path}: column {name!r} must hold numbers; run its stage again")
    return table


def main_table(accuracy: Sequence[Path], flops: Path, throughput: Path) -> pd.DataFrame:
    """Join the measured files into one row per operating point and batch size, rounded as it is written.

    Returns:
        Columns backbone, recipe, strategy, criterion, schedule, seeds, miou, miou_spread, drop, drop_spread (points;
        the spread is the standard deviation over seeds, NaN for one seed), gmac, gmac_ratio (dense / row), gmac_low and
        gmac_high (5th and 95th percentile over the images, NaN where all cost the same), windows (forward passes for an
        image, on average; gmac and images/s are of whole images), method and varies (see `with_methods`), batch,
        images_per_s, speedup, speedup_low, speedup_high, floor_ratio, floor_low, floor_high (NaN: out of memory or
        skipped).

    Raises:
        PaumerError: a file is unusable, or a dense, GMAC or throughput row is missing.
    """
    table = read_accuracy(accuracy)
    points = over_seeds(add_drop(table, "miou", [*NETWORK, "seed"]), ["miou", "drop"], KEYS)
    points = points.merge(table.groupby(KEYS)[COST].mean().reset_index(), on=KEYS)
    points = _sort(_add_gmac(points, flops).drop(columns="decoder"))
    return _add_throughput(points, throughput).round(DECIMALS)


def add_drop(accuracy: pd.DataFrame, value: str, keys: Sequence[str]) -> pd.DataFrame:
    """Add `drop`: how far `value` is below that of recipe dense run dense, row by row of the same `keys`.

    Raises:
        PaumerError: such a dense row is missing.
    """
    reference = accuracy.loc[is_dense(accuracy), [*keys, value]].rename(columns={value: "reference"})
    remedy = "every drop is counted from it, so train and evaluate recipe dense"
    joined = join(accuracy, reference, keys, "accuracy, recipe dense and strategy dense", remedy)
    return joined.assign(drop=joined["reference"] - joined[value]).drop(columns="reference")


def over_seeds(table: pd.DataFrame, values: Sequence[str], keys: Sequence[str]) -> pd.DataFrame:
    """Mean and spread (standard deviation; NaN for one seed) of `values` over the seeds of each `keys`."""
    grouped = table.groupby(list(keys), sort=False)
    columns = {"seeds": ("seed", "nunique")}
    for name in values:
        columns |= {name: (name, "mean"), f"{name}_spread": (name, "std")}
    return grouped.agg(**columns).reset_index()


def _add_gmac(points: pd.DataFrame, flops: Path) -> pd.DataFrame:
    """Take an image's `gmac` from flops.csv where that has it, which means that all cost the same; add `gmac_ratio`.

    Args:
        points: operating points with the gmac, gmac_low and gmac_high of accuracy.csv.
        flops: flops.csv; of each backbone its first input size counts.

    Raises:
        PaumerError: neither file holds the GMAC of an operating point.
    """
    counted = at_first_size(read_table(flops, [*FLOPS, *INPUT, "windows"]))
    counted = counted.assign(gmac_total=counted["gmac_total"] * counted["windows"])[FLOPS]
    refuse_duplicates(counted, FLOPS[:-1], str(flops))
    points = points.merge(counted, on=FLOPS[:-1], how="left")
    fixed = points["gmac_total"].notna()
    gmac = points["gmac_total"].fillna(points["gmac"])
    if gmac.isna().any():
        name = describe(points[gmac.isna()], FLOPS[:-1])
        raise PaumerError(f"{flops}: no row for {name}, nor its gmac in accuracy; count it: run the flops stage again")
    dense = points.assign(dense_gmac=gmac).loc[is_dense(points), [*NETWORK, "dense_gmac"]]
    ratio = points.merge(dense, on=NETWORK)["dense_gmac"] / gmac
    low, high = (points[name].mask(fixed) for name in ("gmac_low", "gmac_high"))
    others = points.drop(columns=["gmac_total", *COST])
    return others.assign(gmac=gmac, gmac_ratio=ratio, gmac_low=low, gmac_high=high)


def _sort(points: pd.DataFrame) -> pd.DataFrame:
    """Small networks first, then recipes and strategies in their usual order, then from costly to cheap."""
    ranked = points.assign(
        size=(points["gmac"] * points["gmac_ratio"]).round(DECIMALS),
        recipe_rank=points["recipe"].map(ranks(points["recipe"], recipe_key)),
        strategy_rank=points["strategy"].map(ranks(points["strategy"], strategy_key)),
        criterion_rank=points["criterion"].map(ranks(points["criterion"], criterion_key)),
    )
    keys = ["size", "backbone", "recipe_rank", "strategy_rank", "gmac_ratio", "schedule", "criterion_rank"]
    return ranked.sort_values(keys)[list(points.columns)].reset_index(drop=True)


def _add_throughput(points: pd.DataFrame, throughput: Path) -> pd.DataFrame:
    """Put the timings beside the operating points, a row for each batch size, with `windows`, `method` and `varies`.

    Raises:
        PaumerError: an operating point was not timed at one of the batch sizes.
    """
    table = in_first_setting(read_throughput(throughput))
    points = points.assign(windows=points["backbone"].map(table.groupby("backbone")["windows"].first()))
    points = with_methods(points)
    parts = []
    for batch, part in table.groupby("batch"):
        origin = f"{throughput}, batch {batch}"
        refuse_duplicates(part, POINT, origin)
        timed = of_points(points, part[[*POINT, "batch", *MEASURES]])
        parts.append(join(points, timed, POINT, origin, "time it: run the throughput stage again"))
    return pd.concat(parts).sort_index(kind="stable", ignore_index=True)


def main_sheet(main: pd.DataFrame, warnings: Sequence[str] = ()) -> Sheet:
    """The main table, columns for each batch size side by side."""
    batches = sorted(main["batch"].unique())
    windows = runs_on_windows(main)
    headings = [*POINT, "seeds", "mIoU (points)", "drop (points) [95%]", "GMAC", "GMAC ratio (dense / row)"]
    for batch in batches:
        headings += [f"images/s, batch {batch}", *([f"windows/s, batch {batch}"] if windows else [])]
        headings += [f"speed-up, batch {batch} [95%]", f"time / floor, batch {batch}"]
    rows = []
    for _, group in main.groupby(POINT, sort=False):
        timings = group.to_dict("records")
        row = timings[0]
        rows.append(
            [
                *(row[name] for name in POINT),
                str(row["seeds"]),
                with_spread(row["miou"], row["miou_spread"]),
                drop_cell(row),
                with_range(row["gmac"], row["gmac_low"], row["gmac_high"]),
                number(row["gmac_ratio"], 2),
                *(cell for timing in timings for cell in _speed_cells(timing, windows)),
            ]
        )
    return Sheet(headings, rows, [*_main_notes(main), *warnings])


def _speed_cells(row: Row, windows: bool) -> list[str]:
    if pd.isna(row["images_per_s"]):
        return [NOT_TIMED, "", "", *([""] if windows else [])]
    of_windows = [significant(row["images_per_s"] * row["windows"])] if windows else []
    return [_rate(row), *of_windows, speedup_cell(row), number(row["floor_ratio"], 2)]


def _rate(row: Row) -> str:
    """images/s, marked where they were measured beside a dense network of the row's own."""
    if pd.isna(row["images_per_s"]):
        return NOT_TIMED
    return significant(row["images_per_s"]) + (" *" if row["varies"] else "")


def _main_notes(main: pd.DataFrame) -> list[str]:
    varies, untimed = bool(main["varies"].any()), bool(main["images_per_s"].isna().any())
    windows = WINDOWS.format(", ".join(map(significant, main["windows"].unique())))
    return [
        SPREAD,
        *([RANGE, OWN_DENSE] if varies else []),
        *([f"{NOT_TIMED.capitalize()}: out of memory or skipped."] if untimed else []),
        *([windows] if runs_on_windows(main) else []),
        *few_seeds(main),
    ]


def main_latex(main: pd.DataFrame, warnings: Sequence[str]) -> str:
    """Every operating point at its backbone's largest batch, a table for each backbone."""
    sheets = []
    for backbone, rows in at_largest_batch(main).groupby("backbone", sort=False):
        headings = ["method", "schedule", "mIoU", "drop", "GMAC", f"images/s, batch {rows['batch'].iloc[0]}"]
        cells = [
            [
                *(row["method"], row["schedule"]),
                with_spread(row["miou"], row["miou_spread"]),
                drop_cell(row),
                *(significant(row["gmac"]), _rate(row), speedup_cell(row)),
                number(row["floor_ratio"], 2),
            ]
            for row in rows.to_dict("records")
        ]
        sheets.append(Sheet([*headings, "speed-up [95%]", "time / floor"], cells, title=str(backbone)))
    varying = ["GMAC is the mean over the images.", OWN_DENSE] if main["varies"].any() else []
    return latex(*sheets, paged=True) + latex_notes([SPREAD, *varying, *few_seeds(main), *warnings])
