"""Was the machine quiet enough for its speed-ups to mean something?"""

from pathlib import Path

from paumer.reporting.formatting import with_interval
from paumer.reporting.timings import null_rows, read_throughput, timed_group


def noise_warnings(throughput: Path) -> list[str]:
    """One sentence for each null variant (dense timed again) whose interval of the speed-up excludes 1.

    Raises:
        PaumerError: throughput.csv is unusable.
    """
    nulls = null_rows(read_throughput(throughput))
    noisy = nulls[(nulls["speedup_low"] > 1) | (nulls["speedup_high"] < 1)]
    return [
        f"Too noisy: {row['backbone']}, batch {row['batch']} ({row['dtype']}, {row['mode']}; {timed_group(row)}). "
        "Dense timed against itself gave a speed-up of "
        f"{with_interval(row['speedup'], row['speedup_low'], row['speedup_high'], decimals=3)}; "
        "distrust differences of this size and measure again on a quiet machine."
        for row in noisy.to_dict("records")
    ]
