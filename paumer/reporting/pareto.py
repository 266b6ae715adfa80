"""Which operating points are worth choosing, and the points that the Pareto plots show."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from paumer.reporting.claims import CLAIM
from paumer.reporting.order import BEST
from paumer.reporting.points import at_largest_batch, is_dense, on_one_scale, with_speed_intervals

PUBLISHED = f"published claim ({CLAIM.dataset}, other network)"
COMMON = ["backbone", "method", "schedule", "seeds", "miou", "miou_spread"]
MARKS = ["dominated", "best_of_method"]


@dataclass(frozen=True)
class Axis:
    """What the horizontal axis shows: a column, its heading, and whether more is better."""

    column: str
    heading: str
    more_is_better: bool

    @property
    def columns(self) -> list[str]:
        """The value and the ends of its bar."""
        return [self.column, f"{self.column}_low", f"{self.column}_high"]


SPEED = Axis("images_per_s", "images/s", True)
GMAC = Axis("gmac", "GMAC per image", False)


def dominated(gain: pd.Series, accuracy: pd.Series) -> pd.Series:
    """Mark points that another one beats.

    Args:
        gain: larger is better (images/s, or minus GMAC).
        accuracy: larger is better.

    Returns:
        True where another point is at least as good in both and better in one.
    """
    first, second = gain.to_numpy(float), accuracy.to_numpy(float)
    as_good = (first[:, None] >= first) & (second[:, None] >= second)
    better = (first[:, None] > first) | (second[:, None] > second)
    return pd.Series(np.any(as_good & better, axis=0), index=gain.index)


def speed_points(main: pd.DataFrame) -> pd.DataFrame:
    """mIoU and images/s at the largest batch.

    Returns:
        Columns backbone, method, schedule, seeds, miou, miou_spread, batch, images_per_s, images_per_s_low,
        images_per_s_high (the interval of the speed-up), dominated, and best_of_method: no other schedule of the same
        method dominates it. The published claim is a row with the method of that name.
    """
    points = beside_dense(at_largest_batch(main).dropna(subset="images_per_s").reset_index(drop=True))
    data = _marked(points, SPEED)[[*COMMON, "batch", *SPEED.columns, *MARKS]]
    return pd.concat([data, _claims(points)], ignore_index=True).astype({"seeds": "Int64"})


def beside_dense(points: pd.DataFrame) -> pd.DataFrame:
    """Place operating points of one setting and batch on one scale of images/s; add its interval, that of the speed-up.

    Every point is placed by its speed-up.
    """
    return with_speed_intervals(points.assign(images_per_s=on_one_scale(points)))


def gmac_points(main: pd.DataFrame) -> pd.DataFrame:
    """mIoU and GMAC.

    Returns:
        Columns backbone, method, schedule, seeds, miou, miou_spread, gmac, gmac_low, gmac_high (5th and 95th percentile
        over the images), dominated, best_of_method.
    """
    return _marked(at_largest_batch(main), GMAC)[[*COMMON, *GMAC.columns, *MARKS]]


def front(points: pd.DataFrame, axis: Axis) -> pd.DataFrame:
    """The points of the Pareto front, from left to right."""
    return points[~points["dominated"] & (points["method"] != PUBLISHED)].sort_values([axis.column, "miou"])


def _marked(points: pd.DataFrame, axis: Axis) -> pd.DataFrame:
    """Compare the points of each backbone and of each method; what chooses by the ground truth beats nothing."""
    gain = points[axis.column] * (1 if axis.more_is_better else -1)

    def beaten(table: pd.DataFrame, keys: list[str]) -> pd.Series:
        groups = [group.index for _, group in table.groupby(keys)]
        return pd.concat([dominated(gain[index], points.loc[index, "miou"]) for index in groups])

    fair = points[points["criterion"] != BEST]
    return points.assign(
        dominated=beaten(fair, ["backbone"]).reindex(points.index, fill_value=True),
        best_of_method=~beaten(points, ["backbone", "method"]),
    )


def _claims(points: pd.DataFrame) -> pd.DataFrame:
    """Where the published claim would lie, counted from each dense network."""
    dense = points[is_dense(points)]
    return pd.DataFrame(
        {
            "backbone": dense["backbone"],
            "method": PUBLISHED,
            "schedule": "not stated",
            "miou": dense["miou"] - CLAIM.drop,
            "batch": dense["batch"],
            "images_per_s": dense["images_per_s"] * CLAIM.speedup,
            "dominated": False,
            "best_of_method": False,
        }
    )
