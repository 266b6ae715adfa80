"""Cityscapes: the label table, the layout on disk, the archives, and drawing labels by train ids from polygons.

Of the 34 published label ids 19 are evaluated, under their train id; the others are ignored.
"""

import re
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from paumer.config.base import IGNORE
from paumer.data.archives import Archive, Source
from paumer.data.cityscapes_site import log_in
from paumer.data.datasets import Dataset, Finish, Layout, numbered
from paumer.system.errors import PaumerError, summary
from paumer.system.files import writing
from paumer.system.progress import run_all

CITATION = "Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016"


class Label(NamedTuple):
    """One row of the label table; `train_id` is 255 where the class is not evaluated."""

    name: str
    id: int
    train_id: int
    colour: tuple[int, int, int]


LABELS: tuple[Label, ...] = (
    Label("unlabeled", 0, IGNORE, (0, 0, 0)),
    Label("ego vehicle", 1, IGNORE, (0, 0, 0)),
    Label("rectification border", 2, IGNORE, (0, 0, 0)),
    Label("out of roi", 3, IGNORE, (0, 0, 0)),
    Label("static", 4, IGNORE, (0, 0, 0)),
    Label("dynamic", 5, IGNORE, (111, 74, 0)),
    Label("ground", 6, IGNORE, (81, 0, 81)),
    Label("road", 7, 0, (128, 64, 128)),
    Label("sidewalk", 8, 1, (244, 35, 232)),
    Label("parking", 9, IGNORE, (250, 170, 160)),
    Label("rail track", 10, IGNORE, (230, 150, 140)),
    Label("building", 11, 2, (70, 70, 70)),
    Label("wall", 12, 3, (102, 102, 156)),
    Label("fence", 13, 4, (190, 153, 153)),
    Label("guard rail", 14, IGNORE, (180, 165, 180)),
    Label("bridge", 15, IGNORE, (150, 100, 100)),
    Label("tunnel", 16, IGNORE, (150, 120, 90)),
    Label("pole", 17, 5, (153, 153, 153)),
    Label("polegroup", 18, IGNORE, (153, 153, 153)),
    Label("traffic light", 19, 6, (250, 170, 30)),
    Label("traffic sign", 20, 7, (220, 220, 0)),
    Label("vegetation", 21, 8, (107, 142, 35)),
    Label("terrain", 22, 9, (152, 251, 152)),
    Label("sky", 23, 10, (70, 130, 180)),
    Label("person", 24, 11, (220, 20, 60)),
    Label("rider", 25, 12, (255, 0, 0)),
    Label("car", 26, 13, (0, 0, 142)),
    Label("truck", 27, 14, (0, 0, 70)),
    Label("bus", 28, 15, (0, 60, 100)),
    Label("caravan", 29, IGNORE, (0, 0, 90)),
    Label("trailer", 30, IGNORE, (0, 0, 110)),
    Label("train", 31, 16, (0, 80, 100)),
    Label("motorcycle", 32, 17, (0, 0, 230)),
    Label("bicycle", 33, 18, (119, 11, 32)),
)
EVALUATED: tuple[Label, ...] = tuple(sorted((x for x in LABELS if x.train_id != IGNORE), key=lambda x: x.train_id))
POLYGONS_ENDING = "_polygons.json"
IMAGE_ENDING = "_leftImg8bit.png"
TRAIN_IDS_ENDING = "_gtFine_labelTrainIds.png"
LABEL_IDS_ENDING = "_gtFine_labelIds.png"
IMAGES = {"train": 2975, "val": 500}
ARCHIVES = (
    Archive(
        name="gtFine_trainvaltest.zip",
        members=re.compile(
            r"(gtFine/(?:train|val|test)/[a-z-]+/[a-z-]+_\d+_\d+_gtFine_"
            r"(?:polygons\.json|(?:labelIds|instanceIds|color)\.png))"
        ),
        files={
            f"gtFine/{split}/*/*_gtFine_{kind}": count
            for split, count in IMAGES.items()
            for kind in ("polygons.json", "labelIds.png")
        },
    ),
    Archive(
        name="leftImg8bit_trainvaltest.zip",
        members=re.compile(r"(leftImg8bit/(?:train|val|test)/[a-z-]+/[a-z-]+_\d+_\d+_leftImg8bit\.png)"),
        files={f"leftImg8bit/{split}/*/*{IMAGE_ENDING}": count for split, count in IMAGES.items()},
    ),
)


def train_id_drawer() -> Finish:
    """The function that draws the labels of a folder.

    Raises:
        PaumerError: the dataset's tools are not installed.
    """
    if find_spec("cityscapesscripts") is None:
        raise PaumerError("cityscapesscripts: not installed, and it draws the labels; pip install 'paumer[cityscapes]'")
    return draw_train_ids


def draw_train_ids(root: Path, processes: int) -> None:
    """Draw `*_labelTrainIds.png` beside every `*_polygons.json` that lacks it, so a second run goes on.

    Args:
        root: the dataset's folder.
        processes: how many processes draw.

    Raises:
        PaumerError: a file of polygons is not what it should be, or a label cannot be written.
    """
    polygons = sorted(root.glob(f"gtFine/*/*/*_gtFine{POLYGONS_ENDING}"))
    missing = [path for path in polygons if not _label_of(path).exists()]
    if missing:
        run_all(_draw, missing, "drawing train ids", processes, done=len(polygons) - len(missing))


def _draw(polygons: Path) -> None:
    from cityscapesscripts.preparation.json2labelImg import json2labelImg

    label = _label_of(polygons)
    with writing(label) as temporary:
        try:
            with redirect_stdout(StringIO()):  # it prints help and exits on an unknown label
                json2labelImg(str(polygons), str(temporary), "trainIds")
        except OSError:
            raise
        except (Exception, SystemExit) as error:
            problem = "unknown label" if isinstance(error, SystemExit) else summary(error)
            raise PaumerError(f"{polygons}: no polygons of Cityscapes ({problem}); fetch it again") from None


def _label_of(polygons: Path) -> Path:
    return polygons.with_name(polygons.name.removesuffix(POLYGONS_ENDING) + "_labelTrainIds.png")


def sequence_of(image: Path, place: int) -> str:
    """City and number of the sequence: `frankfurt_000001` of `frankfurt_000001_000538_leftImg8bit.png`."""
    return image.name.removesuffix(IMAGE_ENDING).rpartition("_")[0]


DATASET = Dataset(
    name="cityscapes",
    classes=tuple(label.name for label in EVALUATED),
    colours=tuple(label.colour for label in EVALUATED),
    encodings={
        TRAIN_IDS_ENDING: numbered(len(EVALUATED)),
        LABEL_IDS_ENDING: {label.id: label.train_id for label in LABELS},
    },
    layout=Layout(
        images="leftImg8bit/{split}",
        labels="gtFine/{split}/{folder}/{stem}",
        label_endings=(TRAIN_IDS_ENDING, LABEL_IDS_ENDING),
        pattern=f"*/*{IMAGE_ENDING}",
        image_endings=(IMAGE_ENDING,),
    ),
    origin="Cityscapes from www.cityscapes-dataset.com (free registration)",
    licence="the dataset's own terms, agreed to on registration at www.cityscapes-dataset.com",
    citation=CITATION,
    download=Source("gtFine_trainvaltest and leftImg8bit_trainvaltest", ARCHIVES, log_in),
    finishing=train_id_drawer,
    label_remedy="`paumer data cityscapes --output FOLDER` draws those of a folder that has the polygons",
    block=sequence_of,
    thin_classes=("fence", "pole", "traffic light", "traffic sign", "person", "rider", "motorcycle", "bicycle"),
)
