"""The tables that compare: criteria with their bounds, and published figures with ours."""

import pandas as pd

from paumer.reporting.criteria import SAME
from paumer.reporting.formatting import Sheet, number, significant
from paumer.reporting.order import BEST, CHANCE
from paumer.reporting.points import method_names
from paumer.reporting.published import COLUMNS, OURS


def readable_criteria(criteria: pd.DataFrame) -> Sheet:
    """Each informed criterion between chance and ground truth, and how many lie there."""
    headings = [*SAME, "criterion", "seeds", *(f"{name}: mIoU (points)" for name in (CHANCE, "criterion", BEST))]
    rows = [
        [
            *(row[name] for name in (*SAME, "criterion")),
            str(row["seeds"]),
            *(number(row[name], 2) for name in (CHANCE, "miou", BEST)),
            _between(row),
        ]
        for row in criteria.to_dict("records")
    ]
    return Sheet([*headings, f"between {CHANCE} and {BEST}"], rows, _verdicts(criteria))


def _between(row: dict) -> str:
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


def readable_published(published: pd.DataFrame) -> Sheet:
    """Published figures, and ours where dataset or network are the same."""
    comparable = (published["source"] == OURS).any()
    headings = [
        *COLUMNS[:5],
        "crop (pixels)",
        "setting",
        "mIoU (points)",
        "change of mIoU (points)",
        "GMAC",
        "images/s",
        "speed-up",
        "timing",
    ]
    rows = [
        [
            *(row[name] for name in COLUMNS[:5]),
            number(row["crop"], 0),
            row["setting"],
            *(number(row[name], 2) for name in ("miou", "miou_change")),
            *(significant(row[name]) for name in ("gmac", "images_per_s")),
            number(row["speedup"], 2),
            row["timing_note"],
            *([row["same"]] if comparable else []),
        ]
        for row in published.to_dict("records")
    ]
    if not comparable:
        opening = "Dataset and networks differ from those of this experiment: no row is comparable with it."
        return Sheet(headings, rows, opening=opening)
    notes = ["Figures of other devices and implementations: compare ratios and changes, not images/s."]
    return Sheet([*headings, "same as here"], rows, notes)
