"""What a plot shows, stated once: `drawing` draws it for print, `page.charts` for the page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from paumer.reporting.figures.styles import Style, series_styles


@dataclass(frozen=True)
class Axis:
    """An axis of a plot.

    Attributes:
        value: column of a long frame; its interval is in `_low` and `_high` or in `_spread`, see `frames.ends`.
        title: what is shown, with its unit.
        scale: `names` are texts in the order of the frame.
    """

    value: str
    title: str = ""
    scale: Literal["linear", "log", "names"] = "linear"


@dataclass(frozen=True)
class Plot:
    """Series of points of a long frame, which has a row for each point.

    Attributes:
        x: the horizontal axis.
        y: the vertical axis.
        by: column that names the series.
        styles: of each series, in the order of the legend.
        intervals: the axes whose intervals are drawn, `x`, `y` or both.
        line: width in points of a line through the points of a series; 0: none.
        dots: draw markers.
        unit: column whose values have a line each.
        dodged: set the series apart where they have one name.
        pale: column of booleans, whose true rows are drawn pale.
    """

    x: Axis
    y: Axis
    by: str
    styles: Mapping[str, Style]
    intervals: str = "y"
    line: float = 0
    dots: bool = True
    unit: str | None = None
    dodged: bool = False
    pale: str | None = None


LINE = 1.2  # points of a line's usual width
LOG_TICKS = (1, 1.5, 2, 3, 5, 7)  # times powers of ten
MIOU = Axis("miou", "mIoU (points)")
# What the accuracy of operating points is shown against.
COSTS = {
    axis.value: axis
    for axis in (
        Axis("images_per_s", "images/s"),
        Axis("latency_ms", "latency of one batch (ms)"),
        Axis("speedup", "speed-up over dense"),
        Axis("gmac", "GMAC per image"),
    )
}


def accuracy_plot(cost: Axis, methods: Mapping[str, Style]) -> Plot:
    """mIoU of every operating point against speed or cost; dominated ones are pale."""
    return Plot(cost, MIOU, "method", methods, intervals="xy", pale="pale")


def equal_speed_plot(methods: Mapping[str, Style]) -> Plot:
    """Drop of the methods that are compared at equal speed, against the speed-ups that they reached."""
    return Plot(COSTS["speedup"], Axis("drop", "drop (mIoU points)"), "method", methods, intervals="xy", line=0.8)


def class_plot(by: str, series: Iterable[object]) -> Plot:
    """Drop of each class."""
    drop, name = Axis("drop", "drop (IoU points)"), Axis("class", scale="names")
    return Plot(drop, name, by, series_styles(series), intervals="x", dodged=True)


def training_plot(recipes: Iterable[object]) -> Plot:
    """Training loss of every run, a line per seed."""
    loss = Axis("loss", "training loss", "log")
    return Plot(
        Axis("step", "step"), loss, "recipe", series_styles(recipes), intervals="", line=LINE, dots=False, unit="seed"
    )
