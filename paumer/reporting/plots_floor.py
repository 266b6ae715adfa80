"""What pausing costs beyond the blocks that it runs."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paumer.reporting.points import POINT
from paumer.reporting.style import interval, legend_below, markers, nothing, nothing_here, palette, panels, sized

VALUES = ["floor_ratio", "floor_low", "floor_high"]
COLUMNS = [*POINT, "batch", "gmac_ratio", *VALUES]
# How much of the place of a schedule its batch sizes take side by side.
SPREAD = 0.6


def floor_overhead(points: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Time over floor of every pausing schedule, from the mildest to the strongest.

    Args:
        points: what was timed, see `variants.timed`.

    Returns:
        The figure, and its points: columns backbone, recipe, strategy, criterion, schedule, batch, gmac_ratio,
        floor_ratio, floor_low, floor_high. No row where nothing was timed against its floor.
    """
    data = points.loc[points["floor_ratio"].notna(), COLUMNS].reset_index(drop=True)
    if data.empty:
        return nothing("no schedule was timed against its floor"), data
    batches = {int(batch): f"batch {batch}" for batch in sorted(data["batch"].unique())}
    backbones = points["backbone"].unique()
    figure, rows = panels(backbones, width=8, height=3.8)
    for backbone, (panel,) in zip(backbones, rows, strict=True):
        shown = data[data["backbone"] == backbone]
        if shown.empty:
            nothing_here(panel, "not timed")
        else:
            _panel(panel, shown.sort_values(["gmac_ratio", "schedule"]), batches)
    legend_below(figure, [row[0] for row in rows], columns=5)
    return figure, data


def _panel(panel: Axes, shown: pd.DataFrame, batches: dict[int, str]) -> None:
    """A place for each schedule, a series for each batch size."""
    schedules = list(shown["schedule"].unique())
    colours, shapes = palette(batches.values()), markers(batches.values())
    for place, (batch, name) in enumerate(batches.items()):
        series = shown[shown["batch"] == batch]
        shift = SPREAD * ((place + 0.5) / len(batches) - 0.5)
        panel.errorbar(
            [schedules.index(schedule) + shift for schedule in series["schedule"]],
            series["floor_ratio"],
            interval(series, *VALUES),
            linestyle="none",
            marker=shapes[name],
            color=colours[name],
            capsize=sized(2),
            label=name,
        )
    panel.axhline(1, color="0.35", linewidth=sized(1), label="floor: the same blocks alone")
    panel.set_xticks(range(len(schedules)), schedules, rotation=40, ha="right", rotation_mode="anchor")
    panel.set_xlim(-0.5, len(schedules) - 0.5)
    panel.set(xlabel="schedule", ylabel="time over floor")
