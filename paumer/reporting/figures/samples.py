"""Stage `samples`: nine samples of a dataset with their labels, for the report and the reader."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from paumer.data.datasets import Dataset
from paumer.data.images import read_sample
from paumer.data.manifest import samples
from paumer.system.files import require_writable, writing

COLUMNS, ROWS = 3, 3
WIDTH, GAP = 318, 3  # pixels of an image in the picture, and between two


def draw_samples(manifest: Path, split: str, output: Path) -> None:
    """Draw samples spread evenly over a split; each label map stands below its image.

    Raises:
        PaumerError: the manifest or a sample is unusable.
    """
    dataset, found = samples(manifest, split)
    require_writable(output, ".png")
    chosen = np.linspace(0, len(found) - 1, COLUMNS * ROWS).round().astype(int)
    read = [read_sample(found[int(index)], dataset) for index in chosen]
    height, width = read[0][1].shape
    size = (WIDTH, round(WIDTH * height / width))
    step = (size[0] + GAP, size[1] + GAP)
    picture = Image.new("RGB", (COLUMNS * step[0] - GAP, 2 * ROWS * step[1] - GAP), "white")
    for number, (image, label) in enumerate(read):
        row, column = divmod(number, COLUMNS)
        for below, pixels, method in (
            (0, image, Image.Resampling.LANCZOS),
            (1, colourise(label, dataset), Image.Resampling.NEAREST),
        ):
            fitted = ImageOps.contain(Image.fromarray(pixels), size, method)
            picture.paste(fitted, (column * step[0], (2 * row + below) * step[1]))
    with writing(output) as temporary:
        picture.save(temporary)


def colourise(classes: np.ndarray, dataset: Dataset) -> np.ndarray:
    """From class ids (height, width) to colours (height, width, 3) uint8; ignored pixels are black."""
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[: len(dataset.colours)] = dataset.colours
    return palette[classes]
