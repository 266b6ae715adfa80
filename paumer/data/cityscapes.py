"""Cityscapes: the layout on disk, the archives, and drawing labels by train ids from polygons."""

import re
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

from paumer.data.archives import Archive, Source
from paumer.data.cityscapes_labels import EVALUATED, LABELS
from paumer.data.cityscapes_site import log_in
from paumer.data.datasets import Dataset, Finish, Layout, numbered
from paumer.system.errors import PaumerError, summary
from paumer.system.files import writing
from paumer.system.progress import run_all

CITATION = "Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016"


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
