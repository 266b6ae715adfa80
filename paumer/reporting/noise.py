"""Was the machine quiet enough for its speed-ups to mean something?"""

import pandas as pd

from paumer.reporting.formatting import with_interval
from paumer.reporting.timings import null_rows, pixels, timed_group

# Other programs that keep more processors busy than this may disturb what is timed.
DISTURBING = 0.1


def noise_warnings(throughput: pd.DataFrame) -> list[str]:
    """What to distrust among timings.

    Args:
        throughput: rows of throughput.csv.

    Returns:
        One sentence for each group of variants whose null variant (dense timed again) has an interval of the speed-up
        that excludes 1, and then one for each that was timed while other programs were busy.
    """
    nulls = null_rows(throughput)
    noisy = nulls[(nulls["speedup_low"] > 1) | (nulls["speedup_high"] < 1)]
    disturbed = nulls[(nulls["status"] == "ok") & (nulls["other_load"] > DISTURBING)]
    return [*map(_noisy, noisy.to_dict("records")), *map(_disturbed, disturbed.to_dict("records"))]


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


def _group(row: dict) -> str:
    """Name what was timed together."""
    setting = f"{row['dtype']}, {row['mode']}, {row['scope']}; {timed_group(row)}"
    return f"{row['backbone']}, {pixels(row)} pixels, batch {row['batch']} ({setting})"
