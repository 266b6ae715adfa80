"""The noise of timings: dense timed again as a null variant, the table of these, and warnings about them."""

from pathlib import Path

import pandas as pd

from paumer.reporting.frames import POINT
from paumer.reporting.reading import describe
from paumer.reporting.sheets import Columns, Row, Sheet, rounded, sheet_of, speedup_cell
from paumer.reporting.timings import ALONE, LACKING, MEASURED_TOGETHER, pixels, read_throughput
from paumer.strategies.registry import DENSE_AGAIN

# Other programs that keep more processors busy than this may disturb what is timed.
DISTURBING = 0.1
# How far from 1 dense over dense may come out, and how wide its interval may be: methods are told apart whose speed-ups
# differ by a few percent, which takes that the same network does not.
OFF, WIDE = 0.02, 0.05


def null_sheet(throughput: Path) -> Sheet:
    """Dense timed against itself in each group of variants: how far from 1 a speed-up of nothing comes out.

    Raises:
        PaumerError: throughput.csv is unusable.
    """
    nulls = null_rows(read_throughput(throughput))
    verdicts = nulls["speedup"].notna().map({True: "too noisy", False: ""}).mask(quiet(nulls), "quiet")
    columns: Columns = {
        "backbone": "backbone",
        "timed together": _timed_together,
        **{"type": "dtype", "mode": "mode", "scope": "scope", "input (pixels)": pixels, "batch": "batch"},
        "speed-up of dense over dense [95%]": lambda row: LACKING.get(row["status"]) or speedup_cell(row, decimals=3),
        "remark": "verdict",
        "other load (processors)": rounded("other_load", 2),
    }
    return sheet_of(nulls.assign(verdict=verdicts), columns)


def null_rows(throughput: pd.DataFrame) -> pd.DataFrame:
    """The null variants, dense timed again: one for each group of variants that were timed together."""
    return throughput[throughput["strategy"] == DENSE_AGAIN]


def _timed_together(row: Row) -> str:
    """What was timed together with a row: all fixed costs, or what one network does with many images."""
    return f"{row['recipe']}, cost by image" if row["recipe"] else "fixed cost"


def noise_warnings(throughput: pd.DataFrame) -> list[str]:
    """Warnings about noise and load on the machine while it was timed.

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
    named = [(noisy, _noisy), (disturbed, _disturbed)]
    return [*(sentence(row) for table, sentence in named for row in table.to_dict("records")), *map(_alone, alone)]


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


def _noisy(row: Row) -> str:
    speedup = speedup_cell(row, decimals=3)
    return (
        f"Too noisy: {_group(row)}. Dense timed against itself gave a speed-up of {speedup}; distrust differences of "
        "this size and measure again on a quiet machine."
    )


def _disturbed(row: Row) -> str:
    return (
        f"Other programs kept {row['other_load']:.1f} processors busy while {_group(row)} was timed; distrust these "
        "images/s and measure again on a machine that does nothing else."
    )


def _alone(rows: pd.DataFrame) -> str:
    names = "; ".join(describe(row, POINT[2:]) for row in rows.to_dict("records"))
    return (
        f"Timed in another run: {names} ({_group(rows.iloc[0].to_dict())}). The dense of that run is not here, so the "
        "speed-up cannot be checked; run the throughput stage again."
    )


def _group(row: Row) -> str:
    """Name what was timed together."""
    setting = f"{row['dtype']}, {row['mode']}, {row['scope']}; {_timed_together(row)}"
    return f"{row['backbone']}, {pixels(row)} pixels, batch {row['batch']} ({setting})"
