"""The tables of the CamVid page, and those beside it, from what was measured."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill

import pandas as pd

from paumer.reporting.figures.points import speed_points
from paumer.reporting.frames import POINT, is_dense, to_wide
from paumer.reporting.reading import read_table
from paumer.reporting.sheets import Sheet, drop_cell, number, speedup_cell, with_seeds
from paumer.reporting.tables.ablation import ablation_sheets, ablation_table
from paumer.reporting.tables.drops import MIOU, PIXELS, drop_sheets, drops_table
from paumer.reporting.tables.headline import headline_points, headline_sheet
from paumer.reporting.tables.main import main_sheet, main_table, read_accuracy
from paumer.reporting.tables.methods import family_points, methods_sheet, methods_table, read_claims, with_claims
from paumer.reporting.tables.noise import noise_warnings
from paumer.reporting.timings import THROUGHPUT, read_throughput
from paumer.reporting.writing import csv, markdown

NETWORK = "vit_small_patch16"
FIRST = [  # recipe, strategy, criterion, schedule
    ("paumer", "dense", "", "dense"),
    ("multi-exit", "dense", "", "dense"),
    ("paumer", "pause", "entropy", "1:0.4"),
    ("multi-exit", "pause", "entropy", "1:0.4"),
    ("multi-exit", "token-exit", "confidence", "1:0.4"),
    ("dense", "merge", "", "1-6:0.08"),
    ("dense", "resize", "", "scale:0.85"),
    ("paumer", "resize>pause", "entropy", "scale:0.95>1:0.4"),
    ("multi-exit", "resize>pause", "smoothed", "scale:0.95>1:0.4"),
    ("dense", "resize", "", "scale:0.75"),
    ("paumer", "resize>pause", "entropy", "scale:0.9>1:0.41"),
    ("multi-exit", "resize>pause", "smoothed", "scale:0.9>1:0.41"),
    ("paumer", "resize>pause", "entropy", "scale:0.85>1:0.4"),
    ("multi-exit", "resize>pause", "smoothed", "scale:0.85>1:0.4"),
]
BY_CLASS = [FIRST[place] for place in (2, 7, 10, 8, 6)]
COMPARED = [  # of the same training seed: the drop of the first less that of the second, and where both are as fast
    (FIRST[2], FIRST[6], "CPU"),
    (FIRST[10], FIRST[9], "CPU"),
    (FIRST[2], FIRST[5], "CPU"),
    (("multi-exit", "token-exit", "confidence", "3:0.2+6:0.2"), ("paumer", "pause", "entropy", "1:0.3"), ""),
    (FIRST[2], ("dense", "resize", "", "scale:0.9"), "H100"),
    (FIRST[7], FIRST[6], "H100"),
    (FIRST[2], FIRST[0], ""),
    (("paumer", "pause", "random", "1:0.4"), FIRST[2], "CPU, H100"),
    (("paumer", "pause", "oracle", "1:0.4"), FIRST[2], "CPU, H100"),
]
NETWORKS = ("paumer", "multi-exit")
RECIPE_POINTS = ["1:0.4", "1:0.5", "2:0.5", "2:0.6", "3:0.5", "3:0.6", "4:0.5"]
RECIPE_POINTS += ["scale:0.95>1:0.4", "scale:0.9>1:0.41", "scale:0.85>1:0.4"]
ON_TWO_CORES = ["from-the-start", "full-gradient", "no-gradient", "heads-anew"]
ON_THE_GPU = ["1:0.4", "1:0.5", "3:0.6", "scale:0.95>1:0.4", "scale:0.9>1:0.41", "scale:0.85>1:0.4", "exit:8"]
ON_THE_GPU += ["1-8:0.06", "1:0.3+6:0.1", "scale:0.85", "scale:0.75", "dense"]
Rows = Sequence[tuple[str, str, str, str]]


@cache
def measured(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The main table of the operating points that were timed, and accuracy.csv with `drop`, by seed."""
    accuracy = read_accuracy([folder / "accuracy.csv"])
    timed = read_throughput(folder / "throughput.csv")[POINT]
    own = accuracy.merge(timed[timed["recipe"] != ""].drop_duplicates(), on=POINT)
    shared = ["backbone", "strategy", "schedule"]
    kept = accuracy.merge(timed.loc[timed["recipe"] == "", shared].drop_duplicates(), on=shared)
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / "accuracy.csv"
        pd.concat([own, kept]).drop_duplicates([*POINT, "seed"]).to_csv(path, index=False)
        main = main_table([path], folder / "flops.csv", folder / "throughput.csv")
    dense = accuracy[is_dense(accuracy)].set_index("seed")["miou"]
    return main, accuracy.assign(drop=accuracy["seed"].map(dense) - accuracy["miou"])


def by_seed(folder: Path, point: tuple[str, str, str, str]) -> pd.Series:
    """The drop of an operating point with every seed."""
    accuracy = measured(folder)[1]
    found = accuracy[(accuracy[POINT[1:]] == list(point)).all(axis=1)]
    assert len(found), point
    return found.set_index("seed")["drop"].sort_index()


def mean(values: pd.Series) -> str:
    """`0.25 [-0.16, 0.66]`."""
    return with_seeds(values.mean(), values.std(), len(values))


def called(point: tuple[str, str, str, str]) -> str:
    """`paumer/pause/entropy 1:0.4`."""
    return f"{'/'.join(filter(None, point[:3]))} {point[3]}"


def chosen(points: Rows) -> pd.DataFrame:
    return pd.DataFrame([(NETWORK, *point) for point in points], columns=POINT)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return markdown(Sheet(list(headings), [list(row) for row in rows])).strip()


def first(folder: Path) -> str:
    """The operating points that the page begins with."""
    main, _ = measured(folder)
    gpu = read_throughput(folder / "h100/throughput.csv")
    gpu = gpu[(gpu["batch"] == 128) & (gpu["mode"] == "eager")].set_index(["strategy", "schedule"])["speedup"]
    drops = drops_table([folder / "accuracy.csv"], chosen(FIRST)).set_index([*POINT[1:], "measure"]).sort_index()
    without = next(name for name in drops.index.get_level_values("measure") if name.startswith("mIoU without"))
    rows = []
    for point in FIRST:
        timings = main[(main[POINT[1:]] == list(point)).all(axis=1)].set_index("batch")
        cells = [drops.loc[(*point, name)] for name in (MIOU, without, PIXELS)]
        speeds = [speedup_cell(timings.loc[batch]) for batch in (1, 4)]
        measures = [drop_cell(cell) for cell in cells]
        cost = number(timings["gmac_ratio"].iloc[0], 2)
        rows.append([called(point), *measures, cost, *speeds, number(gpu.get(point[1:4:2], float("nan")), 2)])
    headings = ["method", "drop of mIoU [95%]", without.replace("mIoU", "drop"), "drop of pixel accuracy", "GMAC ratio"]
    return table([*headings, "CPU, batch 1 [95%]", "CPU, batch 4 [95%]", "H100, batch 128"], rows)


def classes(folder: Path) -> str:
    """Drop of every class at a few operating points."""
    [sheet] = drop_sheets(drops_table([folder / "accuracy.csv"], chosen(BY_CLASS)))
    return table([heading.removesuffix(": drop [95%]") for heading in sheet.headings], sheet.rows)


def compared(folder: Path) -> str:
    """Pairs of operating points, seed by seed."""
    rows = [
        [called(one), called(other), place, mean(by_seed(folder, one) - by_seed(folder, other))]
        for one, other, place in COMPARED
    ]
    headings = ["method", "method it is compared with", "device where both are about as fast"]
    return table([*headings, "drop of the first less that of the second [95%]"], rows)


def criteria(folder: Path) -> str:
    """Other criteria against entropy, on both networks: what they take from the drop."""
    main, _ = measured(folder)
    rows = []
    paused = main[main["strategy"].isin(["pause", "resize>pause"])]
    for strategy, schedule in (
        paused.loc[paused["criterion"] == "confidence", ["strategy", "schedule"]].drop_duplicates().to_numpy()
    ):
        cells = []
        for recipe in NETWORKS:
            entropy = by_seed(folder, (recipe, strategy, "entropy", schedule))
            others = ("confidence", "smoothed", "spaced")
            cells += [mean(by_seed(folder, (recipe, strategy, name, schedule)) - entropy) for name in others]
        rows.append([schedule, *cells])
    headings = [f"{recipe}: {name}" for recipe in NETWORKS for name in ("confidence", "smoothed", "spaced")]
    return table(["schedule", *headings], rows)


def exits(folder: Path) -> str:
    """Token exits against pausing by the same criterion on the same network."""
    rows = []
    for schedule in ("1:0.4", "2:0.5", "3:0.6"):
        pairs = [
            [by_seed(folder, (recipe, strategy, "confidence", schedule)) for strategy in ("token-exit", "pause")]
            for recipe in NETWORKS
        ]
        rows.append([schedule, *(mean(exit - pause) for exit, pause in pairs)])
    return table(["schedule", *(f"{recipe}'s network" for recipe in NETWORKS)], rows)


def tried(folder: Path) -> str:
    """How many timed operating points each family has had to choose from."""
    main, _ = measured(folder)
    points = family_points(main)
    counts = points.groupby("family").size().sort_values(ascending=False)
    return table(["method", "operating points"], [[str(name), str(count)] for name, count in counts.items()])


def training(folder: Path) -> str:
    """What training otherwise adds to the drop of recipe paumer, with the same seeds."""
    ablated = ablation_table(folder / "accuracy.csv", [folder / "ablation_accuracy.csv"])
    points = [("dense", "", "dense"), *((_strategy(text), "entropy", text) for text in RECIPE_POINTS)]
    whole = [by_seed(folder, ("paumer", *point)) for point in points]
    rows = [["paumer, its own drop", "6", *(number(drops.mean(), 2) for drops in whole)]]
    multi = [by_seed(folder, ("multi-exit", *point)) - own for point, own in zip(points, whole, strict=True)]
    rows.append(["multi-exit", "6", *map(mean, multi)])
    variants = ablated[(ablated["variant"] != "paumer") & ablated["criterion"].isin(["", "entropy"])]
    for name, group in variants.groupby("variant", sort=False):
        cells = group.set_index("schedule").loc[["dense", *RECIPE_POINTS]].to_dict("records")
        changes = [with_seeds(row["change"], row["change_spread"], row["change_seeds"]) for row in cells]
        rows.append([str(name), number(cells[0]["change_seeds"], 0), *changes])
    return markdown(Sheet(["variant", "seeds", "unpaused", *RECIPE_POINTS], rows)).strip()


def _strategy(schedule: str) -> str:
    return "resize>pause" if ">" in schedule else "pause"


def gpu(folder: Path, mode: str = "eager", decimals: int = 2) -> str:
    """Speed-ups on the H100."""
    timed = read_table(folder / "h100/throughput.csv", THROUGHPUT)
    timed = timed[(timed["mode"] == mode) & timed["schedule"].isin(ON_THE_GPU)].astype({"batch": int})
    batches = sorted(timed["batch"].unique())
    rows = []
    order = ["dense", "dense-again", "explicit-attention", "pause", "resize>pause", "token-exit", "early-exit"]
    for (strategy, schedule), group in timed.groupby(["strategy", "schedule"], sort=False):
        by_batch = group.set_index("batch")
        cells = [
            f"{by_batch.loc[batch, 'images_per_s']:.0f}/s"
            if strategy == "dense"
            else speedup_cell(by_batch.loc[batch], decimals=decimals)
            for batch in batches
        ]
        rows.append([str(strategy), str(schedule), *cells])
    rows.sort(key=lambda row: order.index(row[0]) if row[0] in order else len(order))
    return table(["strategy", "schedule", *(f"batch {batch}" for batch in batches)], rows)


def gpu_graphs(folder: Path) -> str:
    """Speed-ups on the H100 where the network is compiled into CUDA graphs."""
    return gpu(folder, "cuda-graphs", decimals=3)


def two_cores(folder: Path) -> str:
    """Drops of variants that only one seed was trained with, on two cores."""
    own = read_accuracy([folder / "two_cores/accuracy.csv"]).assign(variant="paumer")
    others = read_table(folder / "two_cores/ablation_accuracy.csv", [*POINT, "variant", "seed", "miou"])
    rows = pd.concat([own, others])
    rows = rows[rows["seed"] == 3]
    dense = rows.loc[is_dense(rows), "miou"].item()
    cells = []
    for name in ("paumer", *ON_TWO_CORES):
        found = rows[(rows["recipe"] == "paumer") & (rows["variant"] == name) & rows["criterion"].isin(["", "entropy"])]
        miou = found[found["strategy"].isin(["dense", "pause", "resize>pause"])].set_index("schedule")["miou"]
        cells.append([name, *(number(dense - miou[text], 2) for text in ("dense", *RECIPE_POINTS))])
    return table(["variant", "unpaused", *RECIPE_POINTS], cells)


def summary(folder: Path) -> str:
    """The result in a paragraph, for the project's README."""
    main, _ = measured(folder)
    said = []
    for point in (FIRST[2], FIRST[10]):
        row = main[(main[[*POINT[1:], "batch"]] == [*point, 4]).all(axis=1)].iloc[0]
        speedup = speedup_cell(row)
        said.append(f"{mean(by_seed(folder, point))} points at {speedup} times the images/s (`{point[3]}`)")
    text = (
        f"On photographs, CamVid with {row['seeds']} training seeds, the drop of recipe `paumer` is {said[0]} and "
        f"{said[1]}, on two cores of a processor in batches of 4. Brackets hold 95% intervals: of a drop over the "
        "seeds (Student's t), of a speed-up over the rounds of one run. CamVid's validation split is one clip of "
        "6.67 s from a drive that is also in its training split, and these points were chosen on it: the intervals "
        "know of training again, and not of other streets."
    )
    return fill(text, 120)


TABLES: dict[str, Callable[[Path], str]] = {
    "first": first,
    "classes": classes,
    "compared": compared,
    "criteria": criteria,
    "exits": exits,
    "tried": tried,
    "training": training,
    "gpu": gpu,
    "gpu-graphs": gpu_graphs,
    "two-cores": two_cores,
    "summary": summary,
}


def files(folder: Path, published: Path) -> dict[str, str]:
    """The tables beside the page by their names."""
    main, _ = measured(folder)
    warnings = noise_warnings(read_throughput(folder / "throughput.csv"))
    claims = read_claims(published)
    headline = headline_sheet(main, claims, warnings)
    methods = with_claims(methods_table(main), claims)
    drops = drops_table([folder / "accuracy.csv"], headline_points(main))
    ablated = ablation_table(folder / "accuracy.csv", [folder / "ablation_accuracy.csv"])
    alone = ablation_table(folder / "two_cores/accuracy.csv", [folder / "two_cores/ablation_accuracy.csv"])
    return {
        "main.csv": csv(to_wide(main)),
        "main.md": markdown(main_sheet(main, warnings)),
        "headline.csv": csv(pd.DataFrame(headline.rows, columns=headline.headings)),
        "headline.md": markdown(headline),
        "methods.csv": csv(methods),
        "methods.md": markdown(methods_sheet(methods, warnings)),
        "drops.csv": csv(drops),
        "drops.md": markdown(*drop_sheets(drops)),
        "ablation.csv": csv(ablated),
        "ablation.md": markdown(*ablation_sheets(ablated)),
        "two_cores/ablation.csv": csv(alone),
        "two_cores/ablation.md": markdown(*ablation_sheets(alone)),
        "pareto_speed.csv": csv(speed_points(main)),
    }
