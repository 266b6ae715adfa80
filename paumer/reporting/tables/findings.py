"""What the measurements say in a sentence or two: PAUMER, its best rival, and the claim of its abstract."""

from collections.abc import Mapping

import pandas as pd

from paumer.reporting.sheets import number, with_seeds
from paumer.reporting.tables.families import PAUMER, family_points, short
from paumer.reporting.tables.headline import SPEEDUPS, best_points
from paumer.reporting.tables.selection import CLAIM

NAME = short(PAUMER)


def findings(main: pd.DataFrame, reasons: Mapping[str, str] | None = None) -> dict[str, list[str]]:
    """Sentences for each backbone: PAUMER and its best rival at the claimed speed-up, and whether the claim is met.

    Where there is one backbone, one more: the same at the next speed-up that the headline table asks about.

    Args:
        main: the main table.
        reasons: by backbone, why PAUMER loses what it does.
    """
    points = family_points(main)
    backbones = main["backbone"].unique()
    return {
        str(backbone): [
            sentence
            for sentence in (
                *_of_backbone(points[points["backbone"] == backbone], whole=len(backbones) == 1),
                (reasons or {}).get(backbone, ""),
            )
            if sentence
        ]
        for backbone in backbones
    }


def paragraph(found: dict[str, list[str]]) -> str:
    """All sentences in one text, those of several backbones under their names."""
    return " ".join(
        (f"{backbone}: " if len(found) > 1 else "") + " ".join(sentences) for backbone, sentences in found.items()
    )


def _of_backbone(points: pd.DataFrame, whole: bool) -> list[str]:
    if points["speedup"].isna().all():
        return ["No method was timed beside the dense network."]
    asked = SPEEDUPS if whole else SPEEDUPS[:1]
    first, *others = [_at(points, speedup) for speedup in asked]
    return [first, _claim(points), *others]


def _at(points: pd.DataFrame, speedup: float) -> str:
    """PAUMER at a speed-up, and the best rival there."""
    best = best_points(points, speedup)
    ours, rivals = best[best["family"] == PAUMER], best[best["rival"]]
    where = f"At {speedup:g} times the images/s of dense, "
    if not (points["family"] == PAUMER).any():
        return where + (_rival(rivals.iloc[0], "the best method") if len(rivals) else "no method is that fast") + "."
    said = _loses(ours.iloc[0]) if len(ours) else _too_slow(points)
    if rivals.empty:
        return f"{where}{NAME} {said}; no rival is that fast."
    rival = rivals.iloc[0]
    less = len(ours) > 0 and rival["drop"] < ours.iloc[0]["drop"]
    return f"{where}{NAME} {said}; {_rival(rival, 'the best rival', ' less:' if less else '')}."


def _claim(points: pd.DataFrame) -> str:
    """Whether PAUMER meets the claim of its abstract, and by how much it misses it."""
    own = points[points["family"] == PAUMER]
    if own.empty:
        return ""
    asked = f"{CLAIM.drop:g} points at {CLAIM.speedup:g}x (claimed for {CLAIM.dataset}, with another network)"
    best = best_points(own, CLAIM.speedup)
    if len(best) and best["drop"].iloc[0] <= CLAIM.drop:
        return f"The target, {asked}, is met with {number(CLAIM.drop - best['drop'].iloc[0], 2)} points to spare."
    missed = f" by {number(best['drop'].iloc[0] - CLAIM.drop, 2)} points" if len(best) else ""
    within = own[own["drop"] <= CLAIM.drop].sort_values("speedup", ascending=False)
    reached = (
        f"within that drop {NAME} reaches {number(within['speedup'].iloc[0], 2)}x ({within['schedule'].iloc[0]})"
        if len(within)
        else f"no schedule of {NAME} stays within that drop"
    )
    return f"The target, {asked}, is missed{missed}: {reached}."


def _loses(row: pd.Series) -> str:
    """`loses 1.33 points of mIoU (schedule 3:0.5, 1.60x)`."""
    return f"{_verb(row)} points of mIoU (schedule {row['schedule']}, {number(row['speedup'], 2)}x)"


def _rival(row: pd.Series, called: str, compared: str = "") -> str:
    """`the best rival, merging, loses 1.85 (1.54x)`."""
    return f"{called}, {row['family']}, {_verb(row, compared)} ({number(row['speedup'], 2)}x)"


def _verb(row: pd.Series, compared: str = "") -> str:
    """`loses 1.33`, or `gains 0.08 [-0.15, 0.30]` where there is more mIoU than that of dense."""
    gains = row["drop"] < 0
    size = with_seeds(abs(row["drop"]), row["drop_spread"], row["seeds"])
    return f"gains {size}" if gains else f"loses{compared} {size}"


def _too_slow(points: pd.DataFrame) -> str:
    fastest = points.loc[points["family"] == PAUMER, "speedup"].max()
    return "was not timed" if pd.isna(fastest) else f"is not that fast (at most {number(fastest, 2)}x)"
