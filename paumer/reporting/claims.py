"""What PAUMER's abstract claims, and with it the two questions that every method is asked."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from paumer.errors import PaumerError
from paumer.reporting.reading import read_table


@dataclass(frozen=True)
class Claim:
    """A published pair: mIoU drop in points and speed-up, on a dataset."""

    dataset: str
    drop: float
    speedup: float


# The abstract's better claim. Asked of every method: how fast within this drop, and which drop at this speed-up?
CLAIM = Claim("Cityscapes", drop=0.65, speedup=1.5)


def read_claims(published: Path) -> pd.DataFrame:
    """Read PAUMER's published claims.

    Returns:
        Columns source, dataset, drop (points), speedup, timing_note; one row per claim.

    Raises:
        PaumerError: the file holds none.
    """
    columns = ["source", "method", "dataset", "miou_change", "speedup", "timing_note"]
    table = read_table(published, columns)
    claims = table[(table["method"] == "paumer") & table["miou_change"].notna() & table["speedup"].notna()]
    if claims.empty:
        raise PaumerError(f"{published}: no row of method paumer with miou_change and speedup; add the published claim")
    claims = claims.assign(drop=-claims["miou_change"])
    return claims[["source", "dataset", "drop", "speedup", "timing_note"]].reset_index(drop=True)
