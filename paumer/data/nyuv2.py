"""NYU Depth v2 without its depth: 1449 rooms of 640 x 480, 40 classes, label 0 for everything else.

Images are `images/N.jpg` (or another ending), label maps `labels/N.png`; `train.txt` and `test.txt` list the numbers
of the official splits. `test` is reported, and what is chosen is chosen on `train-select`: every 6th block of 10
numbers that follow each other in `train.txt`, for neighbours show the same room. `train-rest` are its other images.
"""

from pathlib import Path

from paumer.data.datasets import Dataset, Layout, distinct_colours, numbered

# The classes of Gupta, Arbelaez and Malik (CVPR 2013) in their order.
CLASSES = (
    "wall, floor, cabinet, bed, chair, sofa, table, door, window, bookshelf, picture, counter, blinds, desk, shelves, "
    "curtain, dresser, pillow, mirror, floor mat, clothes, ceiling, books, refrigerator, television, paper, towel, "
    "shower curtain, box, whiteboard, person, night stand, toilet, sink, lamp, bathtub, bag, other structure, "
    "other furniture, other prop"
)
OTHER = 0
BLOCK = 10  # images
IMAGES = {"train": 795, "test": 654, "train-rest": 655, "train-select": 140}


def neighbours_of(image: Path, place: int) -> str:
    """The block of 10 that an image is of, by its place in the list of its split."""
    return str(place // BLOCK)


_NAMES = tuple(CLASSES.split(", "))
DATASET = Dataset(
    name="nyuv2",
    classes=_NAMES,
    colours=distinct_colours(len(_NAMES)),
    encodings={".png": numbered(len(_NAMES), first=1, ignored=(OTHER,))},
    layout=Layout(images="images", labels="labels/{stem}", listing="{split}.txt"),
    origin="NYU Depth v2 from cs.nyu.edu/~silberman/datasets/nyu_depth_v2.html, laid out as docs/data.md describes",
    licence="for research, from cs.nyu.edu/~silberman/datasets/nyu_depth_v2.html",
    citation="Silberman et al., Indoor Segmentation and Support Inference from RGBD Images, ECCV 2012",
    block=neighbours_of,
    select_every=6,
    thin_classes=("picture", "pillow", "clothes", "books", "paper", "towel", "box", "lamp", "bag"),
)
