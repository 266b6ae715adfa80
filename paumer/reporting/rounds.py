"""What the timed rounds of throughput_rounds.csv give: images/s, speed-ups, time over floor, and their intervals."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from paumer.intervals import ratio
from paumer.reporting.points import MEASURES
from paumer.reporting.reading import read_table
from paumer.reporting.timings import SETTING, WHOLE

TIMED = [*dict.fromkeys(["backbone", "recipe", *SETTING, *WHOLE])]
DENSE, PAUSE, FLOOR = "dense dense", "pause ", "floor "


def measures_of_rounds(path: Path) -> pd.DataFrame:
    """The numbers of throughput.csv, from the rounds.

    Args:
        path: throughput_rounds.csv.

    Returns:
        A row per timed variant: the columns that its group shares, `variant`, `rounds`, and `MEASURES`; ratios are NaN
        where dense (or the floor) was not timed in as many rounds.

    Raises:
        PaumerError: the file is unusable.
    """
    rounds = read_table(path, [*TIMED, "variant", "images", "round", "seconds"]).sort_values("round", kind="stable")
    rows = [
        dict(zip(TIMED, keys, strict=True)) | row
        for keys, group in rounds.groupby(TIMED, sort=False)
        for row in _group(group)
    ]
    return pd.DataFrame(rows, columns=[*TIMED, "variant", "rounds", *MEASURES])


def _group(group: pd.DataFrame) -> Iterator[dict]:
    """The rows of what was timed together."""
    seconds = {str(name): part["seconds"].to_numpy() for name, part in group.groupby("variant", sort=False)}
    images = group.groupby("variant")["images"].first()
    for name, own in seconds.items():
        row = {"variant": name, "rounds": len(own), "images_per_s": float((images[name] / pd.Series(own)).median())}
        dense, floor = seconds.get(DENSE), seconds.get(FLOOR + name.removeprefix(PAUSE))
        if dense is not None and len(dense) == len(own):
            row |= zip(MEASURES[1:4], ratio(dense, own), strict=True)
        if name.startswith(PAUSE) and floor is not None and len(floor) == len(own):
            row |= zip(MEASURES[4:], ratio(own, floor), strict=True)
        yield row
