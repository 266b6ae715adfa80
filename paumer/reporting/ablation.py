"""What each part of the method is worth: recipe `paumer` beside its variants, at the same schedules."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from paumer.errors import PaumerError
from paumer.files import write_text
from paumer.registry import CONTROLS
from paumer.reporting.aggregate import ACCURACY, add_drop, over_seeds, read_accuracy
from paumer.reporting.formatting import DECIMALS, Sheet, csv, markdown, number, with_spread
from paumer.reporting.latex import tabular
from paumer.reporting.points import NETWORK, is_dense
from paumer.reporting.reading import read_table

WHOLE = "paumer"  # the row of the recipe itself
KEYS = [*NETWORK, "variant", "strategy", "criterion", "schedule"]
COLUMNS = [*KEYS, "seeds", "miou", "miou_spread", "drop", "drop_spread", "gmac", "gmac_ratio"]


def write_ablation(accuracy: Path, variants: Sequence[Path], output: Path) -> None:
    """Write ablation.{csv,md,tex}.

    Args:
        accuracy: accuracy.csv of all recipes.
        variants: accuracy.csv of every run of an ablation.
        output: folder for the tables.

    Raises:
        PaumerError: a file is unusable, or recipe dense is missing.
    """
    table = ablation_table(accuracy, variants)
    write_text(output / "ablation.csv", csv(table))
    write_text(output / "ablation.md", markdown(*readable_ablation(table)))
    write_text(output / "ablation.tex", "\n".join(map(tabular, readable_ablation(table))))


def ablation_table(accuracy: Path, variants: Sequence[Path]) -> pd.DataFrame:
    """One row per variant and schedule, the recipe itself first.

    Returns:
        Columns backbone, decoder, variant (`paumer`: the recipe itself), strategy (`dense`: nothing pauses), criterion,
        schedule, seeds, miou, miou_spread, drop (from recipe dense), drop_spread, gmac, gmac_ratio (dense / row).

    Raises:
        PaumerError: a file is unusable, or recipe dense is missing.
    """
    whole = read_accuracy([accuracy]).assign(variant=WHOLE)
    changed = [read_table(path, [*ACCURACY, "variant"]) for path in variants]
    rows = pd.concat([whole, *changed], ignore_index=True)
    rows = add_drop(rows, "miou", [*NETWORK, "seed"])
    dense = rows.loc[is_dense(rows), [*NETWORK, "seed", "gmac"]].rename(columns={"gmac": "gmac_dense"})
    kept = (rows["recipe"] == "paumer") & rows["strategy"].isin(["dense", "pause"])
    kept &= ~rows["criterion"].isin(CONTROLS)
    rows = rows[kept].merge(dense, on=[*NETWORK, "seed"])
    if rows.empty:
        raise PaumerError(f"{accuracy}: holds no run of recipe paumer; ablations are variants of it")
    costs = rows.assign(gmac_ratio=rows["gmac_dense"] / rows["gmac"]).groupby(KEYS, sort=False)
    means = costs[["gmac", "gmac_ratio"]].mean().reset_index()
    return over_seeds(rows, ["miou", "drop"], KEYS).merge(means, on=KEYS)[COLUMNS].round(DECIMALS)


def readable_ablation(table: pd.DataFrame) -> list[Sheet]:
    """A sheet per backbone and criterion: the drop of every variant without pausing and at each schedule."""
    note = "Drop of mIoU in points from recipe dense, mean ± spread over seeds; in brackets how many times fewer GMAC."
    sheets = []
    paused = table[table["strategy"] == "pause"]
    for (backbone, criterion), group in paused.groupby(["backbone", "criterion"], sort=False):
        schedules, rows = list(dict.fromkeys(group["schedule"])), []
        unpaused = table[(table["backbone"] == backbone) & (table["strategy"] == "dense")]
        for first in unpaused.to_dict("records"):
            points = group[group["variant"] == first["variant"]].to_dict("records")
            drops = {row["schedule"]: f"{_drop(row)} ({number(row['gmac_ratio'], 2)})" for row in points}
            rows.append(
                [first["variant"], str(first["seeds"]), _drop(first), *(drops.get(name, "") for name in schedules)]
            )
        sheets.append(Sheet(["variant", "seeds", "unpaused", *schedules], rows, [note], f"{backbone}, {criterion}"))
    return sheets


def _drop(row: dict) -> str:
    """`0.12 ± 0.05`."""
    return with_spread(row["drop"], row["drop_spread"])
