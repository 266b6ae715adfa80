"""Class ids as the colours of their dataset, and the colours of the places where patches pause."""

import numpy as np

from paumer.data.datasets import Dataset

# Of the first, second ... location of a schedule; after Okabe and Ito, safe for the colour-blind.
LOCATION_COLOURS = ("#E69F00", "#56B4E9", "#CC79A7", "#009E73")


def colourise(classes: np.ndarray, dataset: Dataset) -> np.ndarray:
    """From class ids (height, width) to colours (height, width, 3) uint8; ignored pixels are black."""
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[: len(dataset.colours)] = dataset.colours
    return palette[classes]
