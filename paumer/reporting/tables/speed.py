"""The speed table: every timing of every setting beside its GMAC. Needs no accuracy, so measuring alone makes it.

Also the table of GMAC, and the timings that the figures of speed show.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from paumer.reporting.frames import INPUT, INPUT_SHAPE, MEASURES, POINT, SETTING
from paumer.reporting.reading import read_table, refuse_duplicates, refuse_mixed_data
from paumer.reporting.sheets import (
    DECIMALS,
    Columns,
    Row,
    Sheet,
    digits,
    named,
    number,
    rounded,
    sheet_of,
    significant,
    speedup_cell,
    with_interval,
)
from paumer.reporting.tables.main import FLOPS
from paumer.reporting.tables.noise import noise_warnings
from paumer.reporting.timings import (
    LACKING,
    in_first_setting,
    latency_ms,
    pixels,
    read_throughput,
    read_timings,
    runs_on_windows,
    windows_per_s,
)
from paumer.reporting.writing import files_of
from paumer.strategies.registry import DENSE_AGAIN, EXPLICIT_ATTENTION
from paumer.system.files import write_text

COUNTED = ["backbone", "strategy", "schedule", *INPUT]
COLUMNS = [
    *(*POINT, *SETTING, *INPUT_SHAPE, "windows"),
    *("images_per_s", "windows_per_s", "latency_ms", "speedup", "speedup_low", "speedup_high"),
    *("gmac", "gmac_ratio", "realised"),
    *("floor_ratio", "floor_low", "floor_high", "peak_memory_mb", "compile_s", "other_load", "status"),
]
VARIANT_COLUMNS = [*POINT, "batch", "windows", "gmac_ratio", *MEASURES]
PARTS = ["encoder", "decoder", "heads"]  # of a network, whose GMAC flops.csv has
# Notes, and the columns that they explain.
NOTES = {
    "images_per_s": "Images/s count whole images. Where windows/s stand beside them, windows were timed: images/s are "
    "then windows/s over the windows of an image, without cutting windows and putting them together. Scope image times "
    "that, too, for a batch of whole images. GMAC are of one window.",
    "recipe": "What names a recipe was timed on many images, beside the dense row of that recipe, which ran on the "
    "same ones: compare its speed-up, not images/s.",
    "latency_ms": "Latency is the time of one batch. Brackets hold the 95% interval of ratios within a round.",
    "realised": "Realised is speed-up over GMAC ratio: 1 where all saved computation became saved time. It is empty "
    "where no GMAC are counted, as where the cost depends on the image.",
    "floor_ratio": "Time / floor is the time over that of the same blocks on tokens already cut: 1 would be free.",
    "compile_s": "Compiling is how much longer the first call took.",
    "other_load": "Other load is how many processors other programs kept busy meanwhile.",
}


def write_speed(flops: Path, throughput: Path, output: Path) -> None:
    """Write speed.{csv,md}.

    Args:
        flops: flops.csv.
        throughput: throughput.csv.
        output: folder for the table.

    Raises:
        PaumerError: a file is unusable, or both rest on different data.
    """
    refuse_mixed_data([flops, throughput])
    speed = speed_table(flops, throughput)
    sheet = speed_sheet(speed, noise_warnings(read_throughput(throughput)))
    for name, text in files_of("speed", speed, [sheet]).items():
        write_text(output / name, text)


def read_speed(path: Path) -> pd.DataFrame:
    """Read a speed table that was written before.

    Raises:
        PaumerError: it is unusable or empty.
    """
    return read_timings(path, COLUMNS)


def speed_table(flops: Path, throughput: Path) -> pd.DataFrame:
    """One row per timing in the order of throughput.csv, null variants left out.

    Returns:
        Columns backbone, recipe, strategy, criterion, schedule, device, dtype, mode, scope, height, width, batch,
        windows (forward passes for an image where the batch counts windows, else 1), images_per_s (of whole images),
        windows_per_s, latency_ms (of one batch), speedup, speedup_low, speedup_high, gmac, gmac_ratio (dense of this
        input size / row; both NaN where flops.csv lacks them, as where the cost depends on the image), realised
        (speedup / gmac_ratio), floor_ratio, floor_low, floor_high, peak_memory_mb, compile_s, other_load, status.

    Raises:
        PaumerError: a file is unusable.
    """
    table = read_throughput(throughput)
    table = table[table["strategy"] != DENSE_AGAIN].reset_index(drop=True)
    counted = read_table(flops, [*FLOPS, *INPUT])
    refuse_duplicates(counted, COUNTED, str(flops))
    gmac = _gmac(table.assign(strategy=table["strategy"].replace(EXPLICIT_ATTENTION, "dense")), counted)
    ratio = _gmac(table.assign(strategy="dense", schedule="dense"), counted) / gmac
    table = table.assign(windows_per_s=windows_per_s(table))
    costs = {"gmac": gmac, "gmac_ratio": ratio, "realised": table["speedup"] / ratio}
    return table.assign(latency_ms=latency_ms(table), **costs)[COLUMNS].round(DECIMALS)


def _gmac(rows: pd.DataFrame, counted: pd.DataFrame) -> pd.Series:
    return rows[COUNTED].merge(counted, on=COUNTED, how="left")["gmac_total"]


def speed_sheet(speed: pd.DataFrame, warnings: Sequence[str] = ()) -> Sheet:
    """The speed table."""
    windows = {"windows/s (windows an image)": _windows} if runs_on_windows(speed) else {}
    columns: Columns = {
        **named(*POINT, "device"),
        **{"type": "dtype", "mode": "mode", "scope": "scope"},
        **{"input (pixels)": pixels, "batch": "batch"},
        "images/s": lambda row: LACKING.get(row["status"]) or significant(row["images_per_s"]),
        **windows,
        "latency (ms)": digits("latency_ms"),
        "speed-up [95%]": speedup_cell,
        "GMAC": digits("gmac"),
        "GMAC ratio (dense / row)": rounded("gmac_ratio", 2),
        "realised": rounded("realised", 2),
        "time / floor [95%]": lambda row: with_interval(row["floor_ratio"], row["floor_low"], row["floor_high"]),
        "peak memory (MB)": rounded("peak_memory_mb", 0),
        "compiling (s)": rounded("compile_s", 1),
        "other load (processors)": rounded("other_load", 2),
    }
    return sheet_of(speed, columns, [*_explanations(speed), *warnings])


def _windows(row: Row) -> str:
    """Windows a second, and how many an image has; empty where whole images were timed."""
    timed = row["windows"] > 1 and pd.notna(row["windows_per_s"])
    return f"{significant(row['windows_per_s'])} ({significant(row['windows'])})" if timed else ""


def _explanations(speed: pd.DataFrame) -> list[str]:
    """Notes on the speed table, those that it needs."""
    needed = {name: bool(speed[name].notna().any()) for name in NOTES}
    needed |= {"images_per_s": runs_on_windows(speed), "recipe": bool((speed["recipe"] != "").any())}
    notes = [note for name, note in NOTES.items() if needed[name]]
    slower = 1 / speed.loc[speed["strategy"] == EXPLICIT_ATTENTION, "speedup"].dropna()
    if len(slower):
        times = " to ".join(dict.fromkeys(number(value, 2) for value in (slower.min(), slower.max())))
        notes.append(
            f"{EXPLICIT_ATTENTION} is dense with the matrix of all pairs of patches written out, as Segmenter was "
            f"published: it takes {times} times as long as dense."
        )
    return notes


def gmac_sheet(flops: Path) -> Sheet:
    """GMAC of every strategy and schedule, by part of the network.

    Raises:
        PaumerError: flops.csv is unusable.
    """
    table = read_table(flops, [*FLOPS, *INPUT, *(f"gmac_{part}" for part in PARTS)])
    columns: Columns = {
        **named("backbone", "decoder", "strategy", "schedule"),
        "input (pixels)": pixels,
        "GMAC": digits("gmac_total"),
        **{f"in the {part}": digits(f"gmac_{part}") for part in PARTS},
    }
    return sheet_of(table, columns)


def settings_timed(throughput: Path) -> list[str]:
    """Device, number type, mode and scope of the timings; the first are those of the main table.

    Raises:
        PaumerError: throughput.csv is unusable.
    """
    settings = read_throughput(throughput)[SETTING].drop_duplicates()
    return [", ".join(filter(None, row)) for row in settings.itertuples(index=False)]


def timed(main: pd.DataFrame) -> pd.DataFrame:
    """The variants of the main table; recipe and criterion are empty where speed does not depend on them.

    Returns:
        Columns backbone, recipe, strategy, criterion, schedule, batch, windows, gmac_ratio, images_per_s (NaN: out of
        memory or skipped), speedup, speedup_low, speedup_high, floor_ratio, floor_low, floor_high.
    """
    points = main.copy()
    points[["recipe", "criterion"]] = points[["recipe", "criterion"]].mask(~points["varies"], "")
    return points.drop_duplicates([*POINT, "batch"])[VARIANT_COLUMNS]


def timed_alone(speed: Path) -> pd.DataFrame:
    """The variants of the speed table in its first setting, where there is no main table; columns as of `timed`.

    Raises:
        PaumerError: it is unusable or empty.
    """
    table = in_first_setting(read_speed(speed))
    beside = (table["strategy"] == EXPLICIT_ATTENTION) | ((table["strategy"] == "dense") & (table["recipe"] != ""))
    return table.loc[~beside, VARIANT_COLUMNS]
