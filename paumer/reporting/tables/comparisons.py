"""The tables that compare: published figures with ours, criteria with chance and ground truth, dense with bounds."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from paumer.reporting.frames import (
    BEST,
    CHANCE,
    INPUT,
    NETWORK,
    POINT,
    at_first_size,
    at_largest_batch,
    is_dense,
    method_names,
    operating_points,
    read_table,
)
from paumer.reporting.sheets import DECIMALS, Cell, Row, Sheet, digits, rounded, sheet_of
from paumer.reporting.tables.main import FLOPS, read_accuracy
from paumer.reporting.timings import in_first_setting, read_throughput, windows_per_s
from paumer.strategies.criteria import CONTROLS
from paumer.system.files import read_json

PUBLISHED = [
    *("source", "method", "dataset", *NETWORK, "crop", "setting"),
    *("miou", "miou_change", "gmac", "images_per_s", "speedup", "timing_note"),
]
OURS = "this experiment"
PAIRED = ["backbone", "recipe", "strategy", "schedule"]  # what a criterion and its controls share
CRITERIA = [*PAIRED, "criterion", "seeds", CHANCE, "miou", BEST, "between", "seeds_between"]


def read_published(path: Path) -> pd.DataFrame:
    """Read published figures, or the table made of them.

    Raises:
        PaumerError: the file is unusable.
    """
    return read_table(path, PUBLISHED)


def published_table(main: pd.DataFrame, published: Path, manifest: Path, flops: Path, throughput: Path) -> pd.DataFrame:
    """Published figures of the same dataset or network, and below them our operating points in the same columns.

    Returns:
        The columns of published.csv and `same`: what a published row shares with this experiment, `dataset`, `network`
        (backbone and decoder) or both. Where no row shares anything: all published rows, and none of ours.

    Raises:
        PaumerError: a file is unusable.
    """
    theirs = read_published(published)[PUBLISHED]
    dataset = str(read_json(manifest).get("dataset", ""))
    ours = _our_rows(main, dataset, flops, throughput)
    theirs["same"], related = _shared(theirs, ours), _shared(ours, theirs)
    if not (theirs["same"] != "").any():
        return theirs
    return pd.concat([theirs[theirs["same"] != ""], ours[related != ""].assign(same="")], ignore_index=True)


def _our_rows(main: pd.DataFrame, dataset: str, flops: Path, throughput: Path) -> pd.DataFrame:
    """Every operating point at the backbone's largest batch, in the columns of the published figures.

    These are of one crop; so are GMAC and images/s here, of one window where an image is several.
    """
    inputs = at_first_size(read_table(flops, [*FLOPS, *INPUT]))
    inputs = inputs[inputs["strategy"] == "dense"].rename(columns={"height": "crop"})
    points = at_largest_batch(main).merge(inputs[[*NETWORK, "crop"]], on="backbone", how="left")
    setting = in_first_setting(read_throughput(throughput)).iloc[0]
    notes = f"{setting['device']}, {setting['dtype']}, batch " + points["batch"].astype(str)
    notes = notes.where(points["images_per_s"].notna(), "")
    points["decoder"] = points["decoder"].fillna("")
    points["gmac"], points["images_per_s"] = points["gmac"] / points["windows"], windows_per_s(points)
    rows = points.rename(columns={"schedule": "setting"}).assign(source=OURS, dataset=dataset, timing_note=notes)
    return rows.assign(miou_change=0 - rows["drop"])[PUBLISHED].round(DECIMALS)


def _shared(rows: pd.DataFrame, others: pd.DataFrame) -> pd.Series:
    """What each row has in common with any of the others."""
    networks = set(others[NETWORK].itertuples(index=False, name=None))
    dataset = rows["dataset"].ne("") & rows["dataset"].isin(others["dataset"])
    network = pd.Series([tuple(row) in networks for row in rows[NETWORK].to_numpy()], index=rows.index, dtype=bool)
    named = dataset.map({True: "dataset", False: ""}).str.cat(network.map({True: "network", False: ""}), sep=", ")
    return named.str.strip(", ")


def published_sheet(published: pd.DataFrame) -> Sheet:
    """Published figures, and ours where dataset or network are the same."""
    columns: dict[str, str | Cell] = {
        **{name: name for name in PUBLISHED[:5]},
        "crop (pixels)": rounded("crop", 0),
        "setting": "setting",
        "mIoU (points)": rounded("miou", 2),
        "change of mIoU (points)": rounded("miou_change", 2),
        "GMAC": digits("gmac"),
        "images/s": digits("images_per_s"),
        "speed-up": rounded("speedup", 2),
        "timing": "timing_note",
    }
    if not (published["source"] == OURS).any():
        opening = "Dataset and networks differ from those of this experiment: no row is comparable with it."
        return sheet_of(published, columns, opening=opening)
    note = "Figures of other devices and implementations: compare ratios and changes, not images/s."
    return sheet_of(published, columns | {"same as here": "same"}, [note])


def criteria_table(accuracy: Sequence[Path], main: pd.DataFrame) -> pd.DataFrame:
    """Each informed criterion between the random one and the one that knows the ground truth, at the same schedule.

    Returns:
        Columns backbone, recipe, strategy, schedule, criterion, seeds, random, miou (of the criterion), oracle (means
        over seeds, NaN where not run), between (`yes`, `no: below random`, `no: above oracle`), seeds_between (in how
        many seeds it is between). The last two are empty where one bound is missing, or where cost depends on the
        image: there the same schedule costs each criterion something else. In the order of `main`.

    Raises:
        PaumerError: an accuracy file is unusable.
    """
    scores = read_accuracy(accuracy)
    paired = scores[~scores["criterion"].isin(["", *CONTROLS])]
    for name in CONTROLS:
        control = scores.loc[scores["criterion"] == name, [*PAIRED, "seed", "miou"]].rename(columns={"miou": name})
        paired = paired.merge(control, on=[*PAIRED, "seed"], how="left")
    paired = paired[paired[list(CONTROLS)].notna().any(axis=1)]
    paired = paired.assign(inside=paired["miou"].between(paired[CHANCE], paired[BEST]))
    means = {name: (name, "mean") for name in (CHANCE, "miou", BEST)}
    grouped = paired.groupby(POINT).agg(seeds=("seed", "nunique"), **means, seeds_between=("inside", "sum"))
    table = operating_points(main)[[*POINT, "varies"]].merge(grouped.reset_index(), on=POINT)
    table["between"] = [_verdict(row) for row in table.to_dict("records")]
    table["seeds_between"] = table["seeds_between"].astype("Int64").mask(table["between"] == "")
    return table[CRITERIA].round(DECIMALS)


def _verdict(row: Row) -> str:
    """Whether the criterion is between its bounds; empty where they are missing or do not cost the same."""
    if row["varies"] or pd.isna(row[CHANCE]) or pd.isna(row[BEST]):
        return ""
    if row["miou"] < row[CHANCE]:
        return f"no: below {CHANCE}"
    return f"no: above {BEST}" if row["miou"] > row[BEST] else "yes"


def criteria_sheet(criteria: pd.DataFrame) -> Sheet:
    """Each informed criterion between chance and ground truth, and how many are between them."""
    columns: dict[str, str | Cell] = {
        **{name: name for name in (*PAIRED, "criterion", "seeds")},
        f"{CHANCE}: mIoU (points)": rounded(CHANCE, 2),
        "criterion: mIoU (points)": rounded("miou", 2),
        f"{BEST}: mIoU (points)": rounded(BEST, 2),
        f"between {CHANCE} and {BEST}": _between,
    }
    return sheet_of(criteria, columns, _verdicts(criteria))


def _between(row: Row) -> str:
    """The verdict, with the number of seeds that share it where there are several."""
    several = row["seeds"] > 1 and not pd.isna(row["seeds_between"])
    return row["between"] + (f" ({row['seeds_between']:.0f} of {row['seeds']} seeds between)" if several else "")


def _verdicts(criteria: pd.DataFrame) -> list[str]:
    judged = criteria[criteria["between"] != ""]
    if judged.empty:
        return [f"No criterion ran at the same cost beside both {CHANCE} and {BEST}, so none is judged."]
    outside = judged[judged["between"] != "yes"]
    names = method_names(outside) + " " + outside["schedule"] + " of " + outside["backbone"]
    exceptions = "; not " + ", ".join(names) if len(outside) else ""
    notes = [f"Between {CHANCE} and {BEST}: {len(judged) - len(outside)} of {len(judged)} rows{exceptions}."]
    if len(judged) < len(criteria):
        notes.append(
            "No verdict where one of the two did not run, or where the same schedule costs each something else."
        )
    return notes


def bounds_table(bounds: Path, main: pd.DataFrame) -> pd.DataFrame:
    """One row per backbone.

    Returns:
        Columns backbone, dense (mean mIoU of the network trained and run without pausing), and one per bound.

    Raises:
        PaumerError: bounds.csv is unusable.
    """
    table = read_table(bounds, ["backbone", "bound", "miou"])
    wide = table.pivot_table(index="backbone", columns="bound", values="miou", aggfunc="mean", sort=False)
    points = operating_points(main)
    dense = points[is_dense(points)].set_index("backbone")["miou"]
    wide.insert(0, "dense", dense)
    return wide.reset_index().rename_axis(columns=None).round(DECIMALS)


def bounds_sheet(bounds: pd.DataFrame) -> Sheet:
    """Each bound beside the dense network it bounds."""
    names = {"dense": "dense network", **{name: name for name in bounds.columns if name not in ("backbone", "dense")}}
    columns: dict[str, str | Cell] = {f"{shown}: mIoU (points)": rounded(name, 2) for name, shown in names.items()}
    notes = [
        "Patch ceiling: ground truth pooled to the prediction grid, what a perfect network of this patch size reaches.",
        "Linear on raw patches: what a linear classifier reaches that sees one patch at a time.",
    ]
    return sheet_of(bounds, {"backbone": "backbone"} | columns, notes)
