"""Figures of the committed pages are computed from committed measurements, and not typed.

    python tests/reference_pages.py

writes them anew: the blocks `<!-- table: NAME -->` of the pages, and the tables and the plot beside CamVid's.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import reference_camvid as camvid

from paumer.reporting.figures.drawing import save, style
from paumer.reporting.figures.pareto import pareto_speed
from paumer.reporting.reading import read_table
from paumer.reporting.sheets import Sheet, number
from paumer.reporting.tables.main import read_accuracy
from paumer.reporting.writing import markdown

ROOT = Path(__file__).parents[1]
REFERENCE = Path("results/reference")
PAGES = [Path("README.md"), *sorted(path.relative_to(ROOT) for path in (ROOT / REFERENCE).rglob("README.md"))]
BLOCK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
UNRECORDED = "<!-- not recorded -->"  # over a table whose figures no committed file holds; the page says so too
CODE = re.compile(r"`[^`\n]*`|\]\([^)]*\)|^```.*?^```$", re.MULTILINE | re.DOTALL)
BOLD = re.compile(r"\*\*(.+?)\*\*", re.DOTALL)
FIGURE = re.compile(r"\d+\.\d|\d+:\d\d|\d ?%|\d times")
TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
SCHEDULES = ["dense", "1:0.2", "1:0.4", "1:0.5", "2:0.5", "3:0.4", "3:0.6"]


def demo(folder: Path) -> str:
    """The network of the package at a few schedules, beside random pausing and a network that never paused."""
    rows = read_accuracy([folder / "accuracy.csv"]).set_index(["recipe", "criterion", "schedule"])
    never, paused = rows.loc["multi-exit"], rows.loc["paumer"]
    dense = paused.loc[("", "dense")]
    cells = []
    for schedule in SCHEDULES:
        at = ("" if schedule == "dense" else "entropy", schedule)
        own = paused.loc[at]
        chance = "" if schedule == "dense" else number(dense["miou"] - paused.loc[("random", schedule), "miou"], 2)
        drop = number(dense["miou"] - own["miou"], 2)
        cost = [number(own["gmac"], 3), number(dense["gmac"] / own["gmac"], 2)]
        cells.append([schedule, number(own["miou"], 2), drop, chance, number(never.loc[at, "miou"], 2), *cost])
    headings = ["schedule", "mIoU", "drop", "drop, random", "mIoU of `multi-exit`", "GMAC", "GMAC ratio"]
    return markdown(Sheet(headings, cells)).strip()


def speed(folder: Path) -> str:
    """Pausing without training, scope `logits`, every network and schedule."""
    measures = ["speedup", "realised", "floor_ratio"]
    keys = ["backbone", "height", "schedule"]
    timed = read_table(folder / "speed.csv", [*keys, "strategy", "scope", "batch", "gmac_ratio", *measures])
    timed = timed[(timed["scope"] == "logits") & (timed["strategy"] == "pause")].sort_values("batch", kind="stable")
    cells = []
    for names, group in timed.groupby(keys, sort=False):
        pairs = [" / ".join(number(value, 2) for value in group[name]) for name in measures]
        cells.append([*map(str, names), number(group["gmac_ratio"].iloc[0], 2), *pairs])
    batches = " / ".join(f"{batch:.0f}" for batch in timed["batch"].unique())
    titles = [f"{name}, batch {batches}" for name in ("speed-up", "realised", "time over floor")]
    return markdown(Sheet(["backbone", "input (pixels)", "schedule", "GMAC ratio", *titles], cells)).strip()


TABLES: dict[str, Callable[[Path], str]] = {
    **{f"camvid-{name}": lambda root, make=make: make(root / "camvid") for name, make in camvid.TABLES.items()},
    "demo": lambda root: demo(root / "demo"),
    "speed": lambda root: speed(root / "intel-xeon-2-threads"),
}


def rewritten(text: str, reference: Path) -> str:
    """A page with its blocks computed from the measurements in `reference`."""
    return BLOCK.sub(lambda block: f"{block[1]}\n{TABLES[block[2]](reference)}\n\n{block[3]}", text)


def typed(text: str) -> Iterator[str]:
    """Rows of tables and bold words with figures, outside of blocks and of tables that are marked as unrecorded."""
    text = re.sub(rf"{UNRECORDED}\n\n{TABLE.pattern}", "", BLOCK.sub("", text), flags=re.MULTILINE)
    text = CODE.sub("", text)
    for table in TABLE.findall(text):
        yield from (row for row in table.splitlines() if FIGURE.search(row))
    yield from (words for words in BOLD.findall(TABLE.sub("", text)) if FIGURE.search(words))


def main() -> None:
    """Write everything anew."""
    folder = ROOT / REFERENCE / "camvid"
    for name, text in camvid.files(folder, ROOT / REFERENCE / "published.csv").items():
        (folder / name).write_text(text, encoding="utf-8")
    with style():
        figure, points = pareto_speed(camvid.measured(folder)[0])
        save(figure, points, folder, "pareto_speed")
    for page in PAGES:
        path = ROOT / page
        path.write_text(rewritten(path.read_text(encoding="utf-8"), ROOT / REFERENCE), encoding="utf-8")


if __name__ == "__main__":
    main()
