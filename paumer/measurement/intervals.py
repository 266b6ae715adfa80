"""95% intervals: of a speed-up over timed rounds, and of a mean over training seeds. Imports no torch."""

import math
from collections.abc import Sequence

import numpy as np

Values = Sequence[float] | np.ndarray
NORMAL = 1.96  # deviations from the mean that hold 95% of a normal distribution
MOST_CORRELATED = 0.8  # upper bound of the correlation of neighbouring rounds
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)  # of 1 to 10 degrees of freedom


def ratio(reference: Values, variant: Values) -> tuple[float, float, float]:
    """Speed-up of the variant over the reference: median over the rounds, and both ends of its 95% interval."""
    ratios = np.asarray(reference) / np.asarray(variant)
    return float(np.median(ratios)), *median_interval(ratios)


def median_interval(values: Values) -> tuple[float, float]:
    """The 95% interval of the median of a series of positive values: an order statistic and its mirror image.

    The number of values below the true median is binomial for every distribution. Where neighbours are correlated, the
    series holds less information than its length: the standard deviation of that number is larger by a factor of
    sqrt((1 + r) / (1 - r)). r is the correlation of neighbours' logarithms, corrected for its bias in short series.

    Returns:
        Both ends; for fewer than six values the smallest and the largest, which hold the median in less than 95%.
    """
    count = len(values)
    deviations = np.log(values) - np.mean(np.log(values))
    total = float(deviations @ deviations)
    r = float(deviations[1:] @ deviations[:-1]) / total if total else 0.0
    r = float(np.clip(r + (1 + 3 * max(r, 0.0)) / count, 0, MOST_CORRELATED))
    outside = count / 2 - NORMAL / 2 * math.sqrt(count * (1 + r) / (1 - r))
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
