"""Class ids as the colours of their dataset."""

import numpy as np

from paumer.data.datasets import Dataset


def colourise(classes: np.ndarray, dataset: Dataset) -> np.ndarray:
    """From class ids (height, width) to colours (height, width, 3) uint8; ignored pixels are black."""
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[: len(dataset.colours)] = dataset.colours
    return palette[classes]
