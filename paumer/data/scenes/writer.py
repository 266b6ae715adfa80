"""Scenes on disk, in the layout of Cityscapes."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from paumer.data.cityscapes import DATASET as CITYSCAPES
from paumer.data.cityscapes import IMAGE_ENDING, LABEL_IDS_ENDING, TRAIN_IDS_ENDING, image_folder, label_file
from paumer.data.parallel import run_all
from paumer.data.scenes.scene import draw_scene
from paumer.errors import PaumerError
from paumer.files import writing_folder

SPLITS = ("train", "val")
CITIES = ("aldenburg", "brunnstadt", "corvingen", "dornheim")
CITY_BLOCK = 64  # Scenes in a row that share a city.
SMALLEST = 32
TRAIN_IDS = CITYSCAPES.tables[LABEL_IDS_ENDING].astype(np.uint8)


class _Task(NamedTuple):
    """One scene to write; everything that its bytes depend on, and where they go."""

    root: Path
    split: str
    number: int
    height: int
    width: int
    seed: int


def generate(
    folder: Path, train_images: int, val_images: int, height: int, width: int, seed: int, processes: int = 1
) -> None:
    """Write a data set of street scenes into `folder`, whole or not at all; what was there is replaced.

    Each scene depends on the seed, its split, its index and the size alone, not on `processes` or the counts.

    Args:
        folder: the data set's root, as Cityscapes has it: `leftImg8bit` and `gtFine` lie below it.
        train_images: scenes in the split "train".
        val_images: scenes in the split "val".
        height: of each scene, in pixels, at least 32.
        width: of each scene, in pixels, at least 32.
        seed: same seed, same bytes.
        processes: how many processes draw.

    Raises:
        PaumerError: a size or count is out of range.
    """
    if min(height, width) < SMALLEST:
        raise PaumerError(f"scenes of {height}x{width} pixels are too small; give at least {SMALLEST}x{SMALLEST}")
    if min(train_images, val_images, seed) < 0:
        raise PaumerError("train_images, val_images and seed of scenes must not be negative")
    if processes < 1:
        raise PaumerError(f"processes of scenes is {processes}; give 1 or more")
    counts = dict(zip(SPLITS, (train_images, val_images), strict=True))
    with writing_folder(folder) as root:
        tasks = [_Task(root, split, k, height, width, seed) for split in SPLITS for k in range(counts[split])]
        run_all(_write_scene, tasks, "scenes", processes)


def _write_scene(task: _Task) -> None:
    rng = np.random.default_rng([task.seed, SPLITS.index(task.split), task.number])
    image, label_ids = draw_scene(rng, task.height, task.width)
    city = CITIES[task.number // CITY_BLOCK % len(CITIES)]
    image_path = image_folder(task.root, task.split) / city / f"{city}_{task.number:06d}_000000{IMAGE_ENDING}"
    label_ids_path, train_ids_path = (
        label_file(task.root, task.split, image_path, ending) for ending in (LABEL_IDS_ENDING, TRAIN_IDS_ENDING)
    )
    for path, pixels in ((image_path, image), (label_ids_path, label_ids), (train_ids_path, TRAIN_IDS[label_ids])):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, compress_level=1)
