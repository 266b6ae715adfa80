"""The tables as sheets of rounded text, the same for Markdown, LaTeX and the report page."""

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
    batches,
    criterion_key,
    depends_on_image,
    describe,
    in_first_setting,
    is_dense,
    join,
    method_names,
    of_points,
    ranks,
    read_table,
    read_throughput,
    recipe_key,
    refuse_duplicates,
    require_numbers,
    runs_on_windows,
    strategy_key,
)
from paumer.reporting.sheets import (
    DECIMALS,
    Sheet,
    longtable,
    notes,
    number,
    significant,
    with_interval,
    with_range,
    with_seeds,
    with_spread,
)
from paumer.system.errors import PaumerError

KEYS = [*NETWORK, *POINT[1:]]
ACCURACY = [*KEYS, "seed", "miou", *COST]
FLOPS = [*NETWORK, "strategy", "schedule", "gmac_total"]


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
    """Join the measured files into one row per operating point, rounded as it is written.

    Returns:
        Columns backbone, recipe, strategy, criterion, schedule, seeds, miou, miou_spread, drop, drop_spread (points;
        the spread is the standard deviation over seeds, NaN for one seed), gmac, gmac_ratio (dense / row), gmac_low and
        gmac_high (5th and 95th percentile over the images, NaN where all cost the same), windows (forward passes for an
        image, on average; gmac and images/s are of whole images), and for each batch B
        images_per_s_bB, speedup_bB, speedup_low_bB, speedup_high_bB, floor_ratio_bB, floor_low_bB, floor_high_bB (NaN:
        out of memory or skipped).

    Raises:
        PaumerError: a file is unusable, or a dense, GMAC or throughput row is missing.
    """
    table = read_accuracy(accuracy)
    points = over_seeds(add_drop(table, "miou", [*NETWORK, "seed"]), ["miou", "drop"], KEYS)
    points = points.merge(table.groupby(KEYS)[COST].mean().reset_index(), on=KEYS)
    points = add_gmac(points, flops).drop(columns="decoder")
    return _sort(add_throughput(points, throughput)).round(DECIMALS)


def add_drop(accuracy: pd.DataFrame, value: str, keys: Sequence[str]) -> pd.DataFrame:
    """Add `drop`: how far `value` lies below that of recipe dense run dense, row by row of the same `keys`.

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


def add_gmac(points: pd.DataFrame, flops: Path) -> pd.DataFrame:
    """Take an image's `gmac` from flops.csv where it stands there, which means that all cost the same.

    Added is `gmac_ratio`, too.

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


def add_throughput(points: pd.DataFrame, throughput: Path) -> pd.DataFrame:
    """Add `windows`, forward passes for one image, and one set of columns for each batch size.

    Raises:
        PaumerError: an operating point was not timed at one of the batch sizes.
    """
    table = in_first_setting(read_throughput(throughput))
    windows = table.groupby("backbone")["windows"].first()
    points = points.assign(windows=points["backbone"].map(windows))
    for batch, part in table.groupby("batch"):
        origin = f"{throughput}, batch {batch}"
        refuse_duplicates(part, POINT, origin)
        named = part[[*POINT, *MEASURES]].rename(columns={name: f"{name}_b{batch}" for name in MEASURES})
        timed = of_points(points, named)
        points = join(points, timed, POINT, origin, "time it: run the throughput stage again")
    return points


NOT_TIMED = "not timed"
SPREAD = (
    "Drop is counted in mIoU points from the network trained and run without pausing. ± is the standard deviation over "
    "seeds; brackets hold 95% intervals: of a drop that of its mean over seeds (Student's t, which knows of training "
    "again and not of other images), of a speed-up that over rounds."
)
FEW_SEEDS = "Fewer than three seeds: differences between methods may be chance."
WINDOWS = (
    "GMAC and images/s are of whole images. Timed were windows, of which an image has {} on average; cutting them and "
    "putting them together is not in images/s."
)
OWN_DENSE = (
    "* Timed on many images, beside a dense network that ran on the same ones: compare its speed-up, not images/s."
)
LARGEST_BATCH = "Speed-ups are those at the backbone's largest batch."


def readable_main(main: pd.DataFrame, warnings: list[str]) -> Sheet:
    """The main table."""
    headings = [*POINT, "seeds", "mIoU (points)", "drop (points) [95%]", "GMAC", "GMAC ratio (dense / row)"]
    windows = runs_on_windows(main)
    for batch in batches(main):
        headings += [f"images/s, batch {batch}", *([f"windows/s, batch {batch}"] if windows else [])]
        headings += [f"speed-up, batch {batch} [95%]", f"time / floor, batch {batch}"]
    rows = [
        [
            *(row[name] for name in POINT),
            str(row["seeds"]),
            with_spread(row["miou"], row["miou_spread"]),
            with_seeds(row["drop"], row["drop_spread"], row["seeds"]),
            with_range(row["gmac"], row["gmac_low"], row["gmac_high"]),
            number(row["gmac_ratio"], 2),
            *(cell for batch in batches(main) for cell in _speed(row, batch, windows)),
        ]
        for row in main.to_dict("records")
    ]
    return Sheet(headings, rows, [*main_notes(main), *warnings])


def paper_notes(main: pd.DataFrame) -> list[str]:
    """What explains the main table where GMAC are means."""
    varying = ["GMAC is the mean over the images.", OWN_DENSE] if depends_on_image(main).any() else []
    return [SPREAD, *varying, *few_seeds(main)]


def main_notes(main: pd.DataFrame) -> list[str]:
    """What explains the main table."""
    explained = [note for note, needed in _explanations(main).items() if needed]
    return [SPREAD, *explained, *few_seeds(main)]


def _explanations(main: pd.DataFrame) -> dict[str, bool]:
    """Notes on the main table, and whether it needs them."""
    timed = main[[f"{MEASURES[0]}_b{batch}" for batch in batches(main)]]
    return {
        "GMAC in brackets: 5th and 95th percentile over the images, where what they show decides the cost.": bool(
            depends_on_image(main).any()
        ),
        OWN_DENSE: bool(depends_on_image(main).any()),
        f"{NOT_TIMED.capitalize()}: out of memory or skipped.": bool(timed.isna().any(axis=None)),
        WINDOWS.format(", ".join(map(significant, main["windows"].unique()))): runs_on_windows(main),
    }


def _speed(row: dict, batch: int, windows: bool) -> list[str]:
    rate = row[f"images_per_s_b{batch}"]
    if pd.isna(rate):
        return [NOT_TIMED, "", "", *([""] if windows else [])]
    of_windows = [significant(rate * row["windows"])] if windows else []
    speedup = with_interval(*(row[f"{name}_b{batch}"] for name in ("speedup", "speedup_low", "speedup_high")))
    return [rate_cell(row, rate), *of_windows, speedup, number(row[f"floor_ratio_b{batch}"], 2)]


def rate_cell(row: dict, rate: float) -> str:
    """images/s, marked where they were measured beside a dense network of the row's own."""
    return significant(rate) + ("" if pd.isna(row["gmac_low"]) else " *")


def few_seeds(table: pd.DataFrame) -> list[str]:
    """The note on too few seeds, where a row has fewer than three."""
    return [FEW_SEEDS] if (table["seeds"] < 3).any() else []


def latex_main(main: pd.DataFrame, warnings: Sequence[str]) -> str:
    """Every operating point at its backbone's largest batch, a table for each backbone."""
    tables = []
    points = at_largest_batch(main)
    for backbone, rows in points.groupby("backbone", sort=False):
        batch = rows["batch"].iloc[0]
        headings = ["method", "schedule", "mIoU", "drop", "GMAC", f"images/s, batch {batch}", "speed-up [95%]"]
        cells = [
            [
                *(row["method"], row["schedule"]),
                with_spread(row["miou"], row["miou_spread"]),
                with_seeds(row["drop"], row["drop_spread"], row["seeds"]),
                *(significant(row["gmac"]), _rate(row), _speedup(row)),
                number(row["floor_ratio"], 2),
            ]
            for row in rows.assign(method=method_names(rows)).to_dict("records")
        ]
        tables.append(longtable(Sheet([*headings, "time / floor"], cells, title=str(backbone))))
    return "\n".join(tables) + notes(Sheet([], [], [*paper_notes(main), *warnings]))


def _rate(row: dict) -> str:
    return NOT_TIMED if pd.isna(row["images_per_s"]) else rate_cell(row, row["images_per_s"])


def _speedup(row: dict) -> str:
    return with_interval(*(row[name] for name in ("speedup", "speedup_low", "speedup_high")))
