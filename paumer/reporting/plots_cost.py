"""Cost where it depends on the image: its mean and spread over the images against mIoU."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from paumer.reporting.labels import label_points
from paumer.reporting.looks import in_legend, looks
from paumer.reporting.pareto import COMMON, GMAC
from paumer.reporting.plots_pareto import dense_network, with_bars
from paumer.reporting.points import DENSE, depends_on_image, is_dense, method_names
from paumer.reporting.style import freeze_layout, legend_below, nothing, panels


def cost_spread(main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """mIoU against GMAC of the operating points whose cost depends on what the image shows.

    Returns:
        The figure, and its points: columns backbone, method, schedule, seeds, miou, miou_spread, gmac, gmac_low,
        gmac_high (5th and 95th percentile over the images); the dense network for comparison. No row where the cost of
        no operating point depends on the image.
    """
    columns = [*COMMON, *GMAC.columns]
    varying = depends_on_image(main)
    if not varying.any():
        return nothing("every operating point costs the same for every image"), pd.DataFrame(columns=columns)
    backbones = main.loc[varying, "backbone"].unique()
    shown = main["backbone"].isin(backbones) & (varying | is_dense(main))
    data = main[shown].assign(method=method_names(main))[columns].reset_index(drop=True)
    figure, rows = panels(backbones, width=7, height=4)
    for backbone, (panel,) in zip(backbones, rows, strict=True):
        points = data[data["backbone"] == backbone]
        dense_network(panel, points[points["method"] == DENSE].iloc[0], GMAC.column)
        for method, look in looks(main).items():
            group = points[(points["method"] == method) & (method != DENSE)]
            if len(group):
                in_legend(panel, method, look)
                with_bars(panel, group, GMAC.columns, look, alpha=1, zorder=3)
        panel.set(xlabel=GMAC.heading, ylabel="mIoU (points)")
        panel.set_xlim(left=0)
    legend_below(figure, [row[0] for row in rows], columns=2)
    freeze_layout(figure)
    for backbone, (panel,) in zip(backbones, rows, strict=True):
        points = data[(data["backbone"] == backbone) & (data["method"] != DENSE)]
        texts = points[[GMAC.column, "miou", "schedule"]].to_numpy()
        label_points(panel, [(x, y, text) for x, y, text in texts], _bars(points))
    return figure, data


def _bars(points: pd.DataFrame) -> list[tuple[float, float]]:
    """Places along the horizontal bars."""
    ends = points[["gmac_low", "gmac_high", "miou"]].to_numpy()
    return [(x, height) for low, high, height in ends for x in np.linspace(low, high, 40)]
