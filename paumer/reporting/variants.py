"""What the speed plots show: one row per batch and timed variant, from the main table or from the speed table."""

from pathlib import Path

import pandas as pd

from paumer.registry import EXPLICIT_ATTENTION
from paumer.reporting.points import MEASURES, POINT, depends_on_image, per_batch
from paumer.reporting.speed_table import read_speed
from paumer.reporting.timings import in_first_setting

COLUMNS = [*POINT, "batch", "windows", "gmac_ratio", *MEASURES]


def timed(main: pd.DataFrame) -> pd.DataFrame:
    """The variants of the main table; recipe and criterion are empty where speed does not depend on them.

    Returns:
        Columns backbone, recipe, strategy, criterion, schedule, batch, windows, gmac_ratio, images_per_s (NaN: out of
        memory or skipped), speedup, speedup_low, speedup_high, floor_ratio, floor_low, floor_high.
    """
    points = per_batch(main)
    shared = ~depends_on_image(points)
    points[["recipe", "criterion"]] = points[["recipe", "criterion"]].mask(shared, "")
    return points.drop_duplicates([*POINT, "batch"])[COLUMNS]


def timed_alone(speed: Path) -> pd.DataFrame:
    """The variants of the speed table in its first setting, where there is no main table; columns as of `timed`.

    Raises:
        PaumerError: it is unusable or empty.
    """
    table = in_first_setting(read_speed(speed))
    beside = (table["strategy"] == EXPLICIT_ATTENTION) | ((table["strategy"] == "dense") & (table["recipe"] != ""))
    return table.loc[~beside, COLUMNS]
