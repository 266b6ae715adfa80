"""Does what a criterion is certain of have to do with what the image shows? Tables from what is known of every patch.

A table of patches has a row for every labelled patch of a split, and the columns

- class: name of the class of most of its labelled pixels,
- uniform: whether that is the class of all of them,
- distance: from its centre to the nearest boundary between classes, in sides of a patch; infinite where there is none,
- score: how much it needs more computation, after some block and by some criterion,
- paused_from: the smallest fraction at which it pauses by that score; infinite where it never does,
- error, final_error: share of its labelled pixels that the head of that block, or the whole network, gets wrong.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

# Bins of distances, in sides of a patch; one names where each begins.
BINS = {0.0: "0 to 0.5", 0.5: "0.5 to 1", 1.0: "1 to 2", 2.0: "2 to 3", 3.0: "3 to 4", 4.0: "4 or more"}
# What a score may tell: the column, and its name in tables.
TARGETS = {"error": "head's error", "final_error": "final error", "gain": "gain"}
FACTS = ["class", "uniform", "distance", "final_error"]


def tabulate(
    patches: pd.DataFrame, blocks: Sequence[int], criteria: Sequence[str], fractions: Sequence[float]
) -> dict[str, pd.DataFrame]:
    """The tables below for every block and criterion, by their names.

    Args:
        patches: class, uniform, distance and final_error of labelled patches; for each block B `B error`, and for each
            criterion C `B C` (the score) and `B C paused from`.
        blocks: those with a head.
        criteria: the scores.
        fractions: at which patches pause, rising.

    Returns:
        composition, groups, boundary and correlation, with the columns block and criterion in front.
    """
    rows: dict[str, list[pd.DataFrame]] = {name: [] for name in ("composition", "groups", "boundary", "correlation")}
    for block, criterion in product(blocks, criteria):
        columns = {f"{block} error": "error", f"{block} {criterion}": "score"}
        columns[f"{block} {criterion} paused from"] = "paused_from"
        chosen = patches[[*FACTS, *columns]].rename(columns=columns)
        tables = (composition(chosen, fractions), groups(chosen, fractions), boundary(chosen), correlation(chosen))
        for part, table in zip(rows.values(), tables, strict=True):
            table.insert(0, "block", block)
            table.insert(1, "criterion", criterion)
            part.append(table)
    return {name: pd.concat(parts, ignore_index=True) for name, parts in rows.items()}


def composition(patches: pd.DataFrame, fractions: Sequence[float]) -> pd.DataFrame:
    """Which classes pause.

    Returns:
        Columns fraction, class, patches, share (of all patches), share_of_paused (among those that pause), share_paused
        (of the patches of the class); classes without a patch are left out.
    """
    parts = []
    for fraction in fractions:
        paused = (patches["paused_from"] <= fraction).groupby(patches["class"], observed=True).agg(["size", "sum"])
        shares = {
            "share": paused["size"] / len(patches),
            "share_of_paused": paused["sum"] / paused["sum"].sum(),
            "share_paused": paused["sum"] / paused["size"],
        }
        parts.append(pd.DataFrame({"fraction": fraction, "patches": paused["size"], **shares}).reset_index())
    return pd.concat(parts, ignore_index=True)[["fraction", "class", "patches", *shares]]


def groups(patches: pd.DataFrame, fractions: Sequence[float]) -> pd.DataFrame:
    """How uniform, and how far from boundaries, the patches are that pause and that run on.

    Returns:
        Columns fraction, group (all, paused, running), patches, uniform (share with a label of one class), distance
        (mean over the patches of images with a boundary).
    """
    rows = []
    for fraction in fractions:
        paused = patches["paused_from"] <= fraction
        for group, chosen in (("all", patches), ("paused", patches[paused]), ("running", patches[~paused])):
            distance = chosen.loc[np.isfinite(chosen["distance"]), "distance"].mean()
            row = {"fraction": fraction, "group": group, "patches": len(chosen)}
            rows.append(row | {"uniform": chosen["uniform"].mean(), "distance": distance})
    return pd.DataFrame(rows)


def boundary(patches: pd.DataFrame) -> pd.DataFrame:
    """Scores and errors by the distance to the nearest boundary.

    Returns:
        Columns bin (of distances; none for images without a boundary), patches, score, error, final_error (means).
    """
    near = patches[np.isfinite(patches["distance"])]
    bins = pd.cut(near["distance"], [*BINS, np.inf], right=False, labels=list(BINS.values())).rename("bin")
    means = {name: (name, "mean") for name in ("score", "error", "final_error")}
    return near.groupby(bins, observed=True).agg(patches=("score", "size"), **means).reset_index()


def correlation(patches: pd.DataFrame) -> pd.DataFrame:
    """What scores tell of errors, and of what running on would save.

    Returns:
        Columns target (head's error, final error, gain: the one minus the other), patches, spearman (rank correlation
        with the target; NaN where one of both is the same everywhere), auroc (see `auroc`, of a target above 0).
    """
    known = patches.assign(gain=patches["error"] - patches["final_error"])[["score", *TARGETS]]
    ranked = known.corr(method="spearman")["score"]
    rows = []
    for column, name in TARGETS.items():
        told = {"spearman": ranked[column], "auroc": auroc(known["score"], known[column] > 0)}
        rows.append({"target": name, "patches": len(known)} | told)
    return pd.DataFrame(rows)


def auroc(scores: pd.Series, positive: pd.Series) -> float:
    """How often a positive has a higher score than a negative, ties counted half; NaN where there is no pair."""
    count = int(positive.sum())
    pairs = count * (len(scores) - count)
    above = scores.rank()[positive].sum() - count * (count + 1) / 2
    return float(above / pairs) if pairs else np.nan
