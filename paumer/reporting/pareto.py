"""Which operating points are worth choosing."""

import numpy as np
import pandas as pd


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
