"""The tables as sheets of rounded text, the same for Markdown, LaTeX and the report page."""

import pandas as pd

from paumer.reporting.frames import MEASURES, POINT, batches, depends_on_image, method_names
from paumer.reporting.sheets import Sheet, number, significant, with_interval, with_range, with_seeds, with_spread
from paumer.reporting.tables.selection import CLAIM
from paumer.reporting.timings import runs_on_windows

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
POINTS_BESIDE = 8  # in a table of classes
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
    return [SPREAD, *varying, *_few_seeds(main)]


def main_notes(main: pd.DataFrame) -> list[str]:
    """What explains the main table."""
    explained = [note for note, needed in _explanations(main).items() if needed]
    return [SPREAD, *explained, *_few_seeds(main)]


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


def readable_methods(methods: pd.DataFrame, warnings: list[str]) -> Sheet:
    """The two questions of the claim: measured methods, then the published claims with their remarks."""
    groups = {
        "fastest": f"fastest at drop <= {CLAIM.drop:g}",
        "most_accurate": f"smallest drop at speed-up >= {CLAIM.speedup:g}",
    }
    headings = ["backbone", "method", "batch", "seeds"]
    for title in groups.values():
        headings += [f"{title}: schedule", "its speed-up [95%]", "its drop (points) [95%]", "its GMAC ratio"]
    rows = [
        [
            row["backbone"],
            row["method"],
            number(row["batch"], 0),
            number(row["seeds"], 0),
            *(cell for group in groups for cell in _chosen(row, group)),
            row["remark"],
        ]
        for row in methods.to_dict("records")
    ]
    return Sheet([*headings, "remark"], rows, [*methods_notes(methods), *warnings])


def methods_notes(methods: pd.DataFrame) -> list[str]:
    """What explains the table of methods."""
    return [SPREAD, LARGEST_BATCH, *_few_seeds(methods)]


def _chosen(row: dict, group: str) -> list[str]:
    def cell(name: str) -> float:
        return row[f"{group}_{name}"]

    return [
        row[f"{group}_schedule"],
        with_interval(cell("speedup"), cell("speedup_low"), cell("speedup_high")),
        with_seeds(cell("drop"), cell("drop_spread"), row["seeds"]),
        number(cell("gmac_ratio"), 2),
    ]


def readable_classes(classes: pd.DataFrame) -> list[Sheet]:
    """A row per class and a column per operating point, dense first; a sheet for every few points of a backbone."""
    sheets = []
    for backbone, table in classes.groupby("backbone", sort=False):
        labelled = table.assign(point=method_names(table) + " " + table["schedule"])
        dense, *others = labelled["point"].unique()
        names = labelled["class"].unique()
        cells = {
            (row["class"], row["point"]): _iou(row, dense=row["recipe"] == row["strategy"] == "dense")
            for row in labelled.to_dict("records")
        }
        note = "IoU in points; in brackets the drop from the network trained and run without pausing."
        for start in range(0, max(1, len(others)), POINTS_BESIDE):
            points = others[start : start + POINTS_BESIDE]
            headings = ["class", "dense: IoU", *(f"{point}: IoU (drop)" for point in points)]
            rows = [[name, *(cells.get((name, point), "") for point in (dense, *points))] for name in names]
            sheets.append(Sheet(headings, rows, [note], title=str(backbone)))
    return sheets


def _iou(row: dict, dense: bool) -> str:
    return number(row["iou"], 1) if dense else f"{number(row['iou'], 1)} ({number(row['drop'], 1)})"


def readable_bounds(bounds: pd.DataFrame) -> Sheet:
    """Each bound beside the dense network it bounds."""
    names = [name for name in bounds.columns if name not in ("backbone", "dense")]
    rows = [
        [row["backbone"], number(row["dense"], 2), *(number(row[name], 2) for name in names)]
        for row in bounds.to_dict("records")
    ]
    headings = ["backbone", "dense network: mIoU (points)", *(f"{name}: mIoU (points)" for name in names)]
    notes = [
        "Patch ceiling: ground truth pooled to the prediction grid, what a perfect network of this patch size reaches.",
        "Linear on raw patches: what a linear classifier reaches that sees one patch at a time.",
    ]
    return Sheet(headings, rows, notes)


def _few_seeds(table: pd.DataFrame) -> list[str]:
    return [FEW_SEEDS] if (table["seeds"] < 3).any() else []
