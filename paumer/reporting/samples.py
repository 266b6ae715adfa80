"""Stage `samples`: nine samples of a dataset with their labels, for the report and the reader."""

from pathlib import Path

import matplotlib as mpl
import numpy as np

from paumer.data.loading import SegmentationData
from paumer.data.preparation import samples
from paumer.files import require_writable, writing
from paumer.reporting.colours import colourise

mpl.use("Agg")
import matplotlib.pyplot as plt

COLUMNS, ROWS = 3, 3


def draw_samples(manifest: Path, split: str, output: Path) -> None:
    """Draw samples spread evenly over a split; each label map stands below its image."""
    data = SegmentationData(*samples(manifest, split))
    require_writable(output, ".png", ".svg", ".pdf")
    indices = np.linspace(0, len(data) - 1, COLUMNS * ROWS).round().astype(int)
    items = [data[int(index)] for index in indices]
    height, width = items[0][0].shape[-2:]
    figure, axes = plt.subplots(
        2 * ROWS,
        COLUMNS,
        figsize=(12, 12 / COLUMNS * 2 * ROWS * height / width),
        squeeze=False,
        gridspec_kw={"left": 0, "right": 1, "bottom": 0, "top": 1, "wspace": 0.01, "hspace": 0.01},
    )
    for number, (image, label) in enumerate(items):
        row, column = divmod(number, COLUMNS)
        axes[2 * row, column].imshow(image.permute(1, 2, 0).numpy())
        axes[2 * row + 1, column].imshow(colourise(label.numpy(), data.dataset), interpolation="none")
    for axis in axes.flat:
        axis.set_axis_off()
    with writing(output) as temporary:
        figure.savefig(temporary, dpi=80)
    plt.close(figure)
