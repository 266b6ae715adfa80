"""Was the machine quiet enough for its speed-ups to mean something?"""

import pandas as pd

from paumer.reporting.frames import POINT, describe
from paumer.reporting.sheets import with_interval
from paumer.reporting.timings import ALONE, MEASURED_TOGETHER, null_rows, pixels, timed_group

# Other programs that keep more processors busy than this may disturb what is timed.
DISTURBING = 0.1
# How far from 1 dense over dense may come out, and how wide its interval may be: methods are told apart whose speed-ups
# differ by a few percent, which takes that the same network does not.
OFF, WIDE = 0.02, 0.05


def noise_warnings(throughput: pd.DataFrame) -> list[str]:
    """What to distrust among timings.

    Args:
        throughput: rows of throughput.csv.

    Returns:
        One sentence for each group of variants whose null variant (dense timed again) is not `quiet`, then one for each
        that was timed while other programs were busy, and one for what was timed beside a dense that is not here.
    """
    nulls = null_rows(throughput)
    noisy = nulls[nulls["speedup"].notna() & ~quiet(nulls)]
    disturbed = nulls[(nulls["status"] == "ok") & (nulls["other_load"] > DISTURBING)]
    alone = [part for _, part in throughput[throughput["status"] == ALONE].groupby(MEASURED_TOGETHER, dropna=False)]
    rows = [(_noisy, noisy), (_disturbed, disturbed)]
    return [*(say(row) for say, table in rows for row in table.to_dict("records")), *map(_alone, alone)]


def quiet(nulls: pd.DataFrame) -> pd.Series:
    """Where dense over dense shows that the machine was quiet.

    Args:
        nulls: null variants, with the columns speedup, speedup_low and speedup_high.

    Returns:
        True where the interval holds 1, is narrower than `WIDE`, and has its median less than `OFF` from 1. A wide
        interval nearly always holds 1, and shows nothing.
    """
    low, high = nulls["speedup_low"], nulls["speedup_high"]
    return (low <= 1) & (high >= 1) & (high - low < WIDE) & ((nulls["speedup"] - 1).abs() < OFF)


def _noisy(row: dict) -> str:
    speedup = with_interval(row["speedup"], row["speedup_low"], row["speedup_high"], decimals=3)
    return (
        f"Too noisy: {_group(row)}. Dense timed against itself gave a speed-up of {speedup}; distrust differences of "
        "this size and measure again on a quiet machine."
    )


def _disturbed(row: dict) -> str:
    return (
        f"Other programs kept {row['other_load']:.1f} processors busy while {_group(row)} was timed; distrust these "
        "images/s and measure again on a machine that does nothing else."
    )


def _alone(rows: pd.DataFrame) -> str:
    names = "; ".join(describe(rows.iloc[[place]], POINT[2:]) for place in range(len(rows)))
    return (
        f"Timed in another run: {names} ({_group(rows.iloc[0].to_dict())}). The dense of that run is not here, so the "
        "speed-up cannot be checked; run the throughput stage again."
    )


def _group(row: dict) -> str:
    """Name what was timed together."""
    setting = f"{row['dtype']}, {row['mode']}, {row['scope']}; {timed_group(row)}"
    return f"{row['backbone']}, {pixels(row)} pixels, batch {row['batch']} ({setting})"
