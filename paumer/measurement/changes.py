"""Which changes between two runs of an experiment are losses beyond noise. Imports no torch.

A change counts as a loss where it is larger than its margin, and larger than noise makes any of all the changes that
are looked at: one-sided tests whose levels are those of Holm (1979). Standard errors of a few seeds are themselves
uncertain, so reruns raise more false alarms than `LEVEL` says where there are few. The margin bounds that: noise has to
exceed it while its own estimate comes out several times too small. However noisy the seeds are, at most 6% of the
reruns of two seeds raise one, 3% of those of three, and 2% of those of five (simulated, 12 operating points).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from paumer.measurement.intervals import NORMAL

LEVEL = 0.001  # probability of a false alarm among all changes together, where standard errors are known


@dataclass(frozen=True)
class Change:
    """How much worse something has become.

    Attributes:
        name: of what changed.
        worse: by how much, in points or as logarithm of a ratio; negative where it is better.
        error: its standard error; 0 where nothing is left to chance.
        margin: what is tolerated of `worse`.
    """

    name: str
    worse: float
    error: float
    margin: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of `worse`."""
        return self.worse - NORMAL * self.error, self.worse + NORMAL * self.error

    @property
    def by_chance(self) -> float:
        """The probability that noise alone makes it as much worse."""
        if self.error == 0:
            return float(self.worse <= 0)
        return NormalDist().cdf(-self.worse / self.error)


def losses(changes: Sequence[Change]) -> list[Change]:
    """The changes that are losses beyond noise, in the order given; those whose noise is unknown (NaN) are none."""
    known = sorted((change for change in changes if change.error >= 0), key=lambda change: change.by_chance)
    passed = 0
    while passed < len(known) and known[passed].by_chance <= LEVEL / (len(known) - passed):
        passed += 1
    return [change for change in changes if change.worse > change.margin and change in known[:passed]]


def error_over_seeds(changes: Sequence[np.ndarray]) -> np.ndarray:
    """Standard error of the mean over seeds of several changes of one kind, such as all operating points of a network.

    Few seeds scatter little by luck now and then, so no spread counts for less than the root mean square of all.

    Args:
        changes: (seeds,) each.

    Returns:
        (changes,); 0 for one seed, whose spread is unknown.
    """
    variances = [np.var(values, ddof=1) if len(values) > 1 else np.nan for values in changes]
    pooled = np.nanmean(variances) if np.isfinite(variances).any() else 0.0
    larger = np.maximum(np.nan_to_num(variances), pooled)
    return np.sqrt(larger / [len(values) for values in changes])
