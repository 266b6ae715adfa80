"""95% intervals: of a speed-up over the rounds that were timed, and of a mean over the seeds that were trained."""

import math
from collections.abc import Sequence

import numpy as np

Values = Sequence[float] | np.ndarray
NORMAL = 1.96  # deviations from the mean that hold 95% of a normal distribution
ALIKE = 0.8  # neighbouring rounds are taken to be no more alike than this
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)  # of 1 to 10 degrees of freedom


def ratio(reference: Values, variant: Values) -> tuple[float, float, float]:
    """How much faster the variant is than the reference: median over the rounds and its 95% interval."""
    ratios = np.asarray(reference) / np.asarray(variant)
    return float(np.median(ratios)), *median_interval(ratios)


def median_interval(values: Values) -> tuple[float, float]:
    """The 95% interval of the median of a series of positive values: an order statistic and its mirror image.

    How many of them lie below the true median is binomial, whatever their distribution. Where neighbours are alike,
    there is less in the series than its length: that number then varies by a factor of sqrt((1 + r) / (1 - r)) more. r
    is the correlation of neighbours' logarithms, corrected for what few values underestimate it by.

    Returns:
        Both ends; of fewer than six values smallest and largest, which hold the median less often than that.
    """
    count = len(values)
    deviations = np.log(values) - np.mean(np.log(values))
    total = float(deviations @ deviations)
    alike = float(deviations[1:] @ deviations[:-1]) / total if total else 0.0
    alike = float(np.clip(alike + (1 + 3 * max(alike, 0.0)) / count, 0, ALIKE))
    outside = count / 2 - NORMAL / 2 * math.sqrt(count * (1 + alike) / (1 - alike))
    ordered, rank = np.sort(values), max(0, round(outside) - 1)
    return float(ordered[rank]), float(ordered[count - 1 - rank])


def mean_interval(mean: float, spread: float, count: int) -> tuple[float, float]:
    """The 95% interval of a mean of `count` values with this standard deviation, by Student's t; NaN for one value."""
    if count < 2:
        return math.nan, math.nan
    freedom = count - 1
    factor = STUDENT[freedom - 1] if freedom <= len(STUDENT) else NORMAL * (1 + 1.25 / freedom)
    half = factor * spread / math.sqrt(count)
    return mean - half, mean + half
