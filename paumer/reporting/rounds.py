"""What the rounds of a timing give: images/s, and ratios with intervals, as throughput.csv has them."""

from pathlib import Path

import pandas as pd

from paumer.measurement.intervals import ratio
from paumer.reporting.frames import INPUT_SHAPE, MEASURES, SETTING
from paumer.reporting.reading import read_table

TIMED = ["backbone", "recipe", *SETTING, *INPUT_SHAPE]
DENSE, PAUSE, FLOOR = "dense dense", "pause ", "floor "  # variants of throughput_rounds.csv


def measures_of_rounds(path: Path) -> pd.DataFrame:
    """The numbers of throughput.csv, computed from the rounds.

    Args:
        path: throughput_rounds.csv.

    Returns:
        A row per timed variant: the columns of `TIMED`, `variant`, `rounds`, and `MEASURES`; ratios are NaN where dense
        (or the floor) was not timed in as many rounds.

    Raises:
        PaumerError: the file is unusable.
    """
    rounds = read_table(path, [*TIMED, "variant", "images", "round", "seconds"]).sort_values("round", kind="stable")
    rows = []
    for keys, group in rounds.groupby(TIMED, sort=False):
        seconds = {str(name): part["seconds"].to_numpy() for name, part in group.groupby("variant", sort=False)}
        images = group.groupby("variant")["images"].first()
        for name, own in seconds.items():
            row = dict(zip(TIMED, keys, strict=True)) | {"variant": name, "rounds": len(own)}
            row["images_per_s"] = float((images[name] / pd.Series(own)).median())
            dense, floor = seconds.get(DENSE), seconds.get(FLOOR + name.removeprefix(PAUSE))
            if dense is not None and len(dense) == len(own):
                row |= zip(MEASURES[1:4], ratio(dense, own), strict=True)
            if name.startswith(PAUSE) and floor is not None and len(floor) == len(own):
                row |= zip(MEASURES[4:], ratio(own, floor), strict=True)
            rows.append(row)
    return pd.DataFrame(rows, columns=[*TIMED, "variant", "rounds", *MEASURES])
