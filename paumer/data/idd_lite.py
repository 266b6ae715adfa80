"""IDD Lite, street scenes of India: 7 classes, images of 320 x 227 in sequences.

Images are `leftImg8bit/SPLIT/SEQUENCE/X_image.jpg`, label maps `gtFine/SPLIT/SEQUENCE/X_label.png`. The official `test`
has no labels, so `val` is reported, and what is chosen is chosen on `train-select`: every 9th sequence of
`train`, by name. `train-rest` are its other images.
"""

from pathlib import Path

from paumer.config.base import IGNORE
from paumer.data.datasets import Dataset, Layout, numbered

# The files hold numbers alone. The names are those of the first level of IDD's classes, in the order in which its own
# code evaluates them (AutoNUE/public-code); the colours are those of one class of the finest level in each.
CLASSES: dict[str, tuple[int, int, int]] = {
    "drivable": (128, 64, 128),
    "non-drivable": (244, 35, 232),
    "living things": (220, 20, 60),
    "vehicles": (0, 0, 142),
    "roadside objects": (220, 190, 40),
    "far objects": (107, 142, 35),
    "sky": (70, 130, 180),
}
IMAGES = {"train": 1403, "val": 204, "train-rest": 1254, "train-select": 149}


def sequence_of(image: Path, place: int) -> str:
    """The sequence that an image is of: its folder."""
    return image.parent.name


DATASET = Dataset(
    name="idd_lite",
    classes=tuple(CLASSES),
    colours=tuple(CLASSES.values()),
    encodings={".png": numbered(len(CLASSES), ignored=(IGNORE,))},
    layout=Layout(
        images="leftImg8bit/{split}",
        labels="gtFine/{split}/{folder}/{stem}",
        label_endings=("_label.png",),
        pattern="*/*_image.jpg",
        image_endings=("_image.jpg",),
    ),
    origin="IDD Lite from idd.insaan.iiit.ac.in (free registration)",
    licence="the dataset's own terms, agreed to on registration at idd.insaan.iiit.ac.in",
    citation=(
        "Varma et al., IDD: A Dataset for Exploring Problems of Autonomous Navigation in Unconstrained Environments, "
        "WACV 2019"
    ),
    block=sequence_of,
    select_every=9,
    thin_classes=("living things", "roadside objects"),
)
