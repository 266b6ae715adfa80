"""The main table's rows: operating points, read back and looked at by batch size."""

import re
from pathlib import Path

import pandas as pd

from paumer.errors import PaumerError
from paumer.reporting.reading import read_table

NETWORK = ["backbone", "decoder"]
POINT = ["backbone", "recipe", "strategy", "criterion", "schedule"]
COST = ["gmac", "gmac_low", "gmac_high"]
MEASURES = [
    *("images_per_s", "speedup", "speedup_low", "speedup_high"),
    *("floor_ratio", "floor_low", "floor_high"),
]

# The method of the network that everything is compared with.
DENSE = "dense/dense"


def read_main(path: Path) -> pd.DataFrame:
    """Read a main table that was written before.

    Raises:
        PaumerError: it is unusable.
    """
    return read_table(path, [*POINT, "seeds", "miou", "miou_spread", "drop", "drop_spread", *COST, "gmac_ratio"])


def is_dense(table: pd.DataFrame) -> pd.Series:
    """Rows of the networks that were trained and run without any method."""
    return (table["recipe"] == "dense") & (table["strategy"] == "dense")


def depends_on_image(main: pd.DataFrame) -> pd.Series:
    """Rows whose cost depends on what the image shows."""
    return main["gmac_low"].notna()


def method_names(table: pd.DataFrame) -> pd.Series:
    """What each row runs, apart from its schedule: `paumer/pause/entropy`, `multi-exit/early-exit`, `dense/dense`."""
    rows = table[["recipe", "strategy", "criterion"]].itertuples(index=False)
    return pd.Series(["/".join(part for part in row if part) for row in rows], index=table.index, dtype=str)


def batches(main: pd.DataFrame) -> list[int]:
    """The batch sizes that the main table has columns for, rising."""
    matches = [re.fullmatch(r"images_per_s_b(\d+)", name) for name in main.columns]
    return sorted(int(match[1]) for match in matches if match)


def per_batch(main: pd.DataFrame) -> pd.DataFrame:
    """One row per operating point and batch, in the order of `main`.

    Returns:
        The columns of `main` that concern no batch, `method`, `batch`, images_per_s, speedup, speedup_low,
        speedup_high, floor_ratio, floor_low and floor_high.
    """
    suffixed = [f"{name}_b{batch}" for name in MEASURES for batch in batches(main)]
    common = main.drop(columns=suffixed).assign(method=method_names(main))
    parts = [
        common.assign(batch=batch, **{name: main[f"{name}_b{batch}"] for name in MEASURES}) for batch in batches(main)
    ]
    return pd.concat(parts).sort_index(kind="stable", ignore_index=True)


def on_one_scale(points: pd.DataFrame) -> pd.Series:
    """images/s of operating points of one setting, as if all had been timed beside one dense network.

    A machine is not equally fast in every minute: what was timed at different times, or on other images, only compares
    by its speed-up over the dense that was timed with it. So that places it, times the rate of the first dense.

    Args:
        points: rows with backbone, strategy, batch, images_per_s and speedup, those of dense among them. Without a
            speed-up, as where dense does not fit into memory, images/s stay as measured.
    """
    keys = ["backbone", "batch"]
    dense = points[points["strategy"] == "dense"].drop_duplicates(keys).rename(columns={"images_per_s": "rate"})
    rate = points[keys].merge(dense[[*keys, "rate"]], how="left")["rate"].set_axis(points.index)
    return points["images_per_s"].mask(points["speedup"].notna(), rate * points["speedup"])


def with_speed_intervals(points: pd.DataFrame) -> pd.DataFrame:
    """Add images_per_s_low and images_per_s_high, the interval of the speed-up."""
    ends = {
        f"images_per_s_{side}": points["images_per_s"] * points[f"speedup_{side}"] / points["speedup"]
        for side in ("low", "high")
    }
    return points.assign(**ends)


def at_largest_batch(main: pd.DataFrame) -> pd.DataFrame:
    """The rows of `per_batch` at each backbone's largest batch at which its dense network fits into memory.

    Raises:
        PaumerError: it fits at none.
    """
    table = per_batch(main)
    fits = table[is_dense(table) & table["images_per_s"].notna()]
    largest = fits.groupby("backbone", as_index=False)["batch"].max()
    for backbone in main["backbone"].unique():
        if backbone not in set(largest["backbone"]):
            raise PaumerError(f"throughput: dense {backbone} never fitted into memory; add a smaller batch")
    return table.merge(largest, on=["backbone", "batch"])
