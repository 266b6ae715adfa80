"""Loss against steps."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from paumer.errors import PaumerError
from paumer.reporting.reading import read_table
from paumer.reporting.style import LINES, legend_below, nothing, palette, panels, sized

# More points than this per curve show nothing more.
BINS = 150
COLUMNS = ["backbone", "recipe", "seed", "step", "loss"]


def loss_curves(paths: Sequence[Path]) -> tuple[Figure, pd.DataFrame]:
    """Training loss of every run, a colour and line per recipe, a thin line per seed.

    Args:
        paths: `.../<backbone>/<recipe>/seed<k>/train.csv`; the folders name the run.

    Returns:
        The figure, and its lines: columns backbone, recipe, seed, step, loss (means over equal stretches of steps).

    Raises:
        PaumerError: a file is unusable, or its folders do not name a run.
    """
    if not paths:
        return nothing("no training curves"), pd.DataFrame(columns=COLUMNS)
    data = pd.concat([_curve(path) for path in paths], ignore_index=True)
    recipes = list(data["recipe"].unique())
    backbones = data["backbone"].unique()
    figure, rows = panels(backbones, width=7, height=3.6)
    for backbone, (panel,) in zip(backbones, rows, strict=True):
        for (recipe, _), curve in data[data["backbone"] == backbone].groupby(["recipe", "seed"], sort=False):
            panel.plot(
                curve["step"],
                curve["loss"],
                color=palette(recipes)[str(recipe)],
                linestyle=LINES[recipes.index(recipe) % len(LINES)],
                linewidth=sized(1.1),
                label=str(recipe),
            )
        panel.set(xlabel="step", ylabel="training loss")
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        panel.yaxis.set_minor_formatter(NullFormatter())
    legend_below(figure, [row[0] for row in rows])
    return figure, data


def _curve(path: Path) -> pd.DataFrame:
    """One run, its steps averaged in at most `BINS` equal stretches."""
    table = read_table(path, ["step", "loss"])
    seed, recipe, backbone = path.resolve().parts[-2:-5:-1]
    if not seed.removeprefix("seed").isdigit():
        raise PaumerError(f"{path}: expected .../<backbone>/<recipe>/seed<k>/{path.name}; name a run's file")
    stretch = np.arange(len(table)) * BINS // max(BINS, len(table))
    means = table.groupby(stretch)[["step", "loss"]].mean()
    return means.assign(backbone=backbone, recipe=recipe, seed=int(seed.removeprefix("seed")))[COLUMNS]
