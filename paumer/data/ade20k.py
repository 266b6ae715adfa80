"""ADE20K as the scene parsing challenge of 2016 gives it: 150 classes, label 0 for everything else.

Images are `images/training/*.jpg` and `images/validation/*.jpg`, label maps `annotations/training/*.png` and so on.
Class names are the first ones in each line of the dataset's objectInfo150.txt, in its order.
"""

import re

from paumer.data.archives import Archive, Origin, Source
from paumer.data.datasets import Dataset, Layout, distinct_colours, numbered

CLASSES = (
    "wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, "
    "door, table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, "
    "field, armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, "
    "signboard, chest of drawers, counter, sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, "
    "stairs, runway, case, pool table, pillow, screen door, stairway, river, bridge, bookcase, blind, coffee "
    "table, toilet, flower, book, hill, bench, countertop, stove, palm, kitchen island, computer, swivel chair, "
    "boat, bar, arcade machine, hovel, bus, towel, light, truck, tower, chandelier, awning, streetlight, booth, "
    "television, airplane, dirt track, apparel, pole, land, bannister, escalator, ottoman, bottle, buffet, "
    "poster, stage, van, ship, fountain, conveyer belt, canopy, washer, plaything, swimming pool, stool, barrel, "
    "basket, waterfall, tent, bag, minibike, cradle, oven, ball, food, step, tank, trade name, microwave, pot, "
    "animal, bicycle, lake, dishwasher, screen, blanket, sculpture, hood, sconce, vase, traffic light, tray, "
    "ashcan, fan, pier, crt screen, plate, monitor, bulletin board, shower, radiator, glass, clock, flag"
)
OTHER = 0
SPLITS = {"train": "training", "val": "validation"}
IMAGES = {"train": 20210, "val": 2000}
ARCHIVE = Archive(
    name="ADEChallengeData2016.zip",
    # The server offers no checksum. This one is stated by the download scripts of GluonCV and Segmenter.
    origin=Origin(
        "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
        size=970_000_000,
        checksums={"sha1": "219e1696abb36c8ba3a3afe7fb2f4b4606a897c7"},
    ),
    members=re.compile(
        r"ADEChallengeData2016/("
        r"images/(?:training|validation)/ADE_(?:train|val)_\d{8}\.jpg|"
        r"annotations/(?:training|validation)/ADE_(?:train|val)_\d{8}\.png)"
    ),
    files={
        pattern: count
        for split, count in IMAGES.items()
        for pattern in (f"images/{SPLITS[split]}/*.jpg", f"annotations/{SPLITS[split]}/*.png")
    },
)
_NAMES = tuple(CLASSES.split(", "))
DATASET = Dataset(
    name="ade20k",
    classes=_NAMES,
    colours=distinct_colours(len(_NAMES)),
    encodings={".png": numbered(len(_NAMES), first=1, ignored=(OTHER,))},
    layout=Layout(images="images/{split}", labels="annotations/{split}/{stem}", split_names=SPLITS),
    origin="ADEChallengeData2016.zip from sceneparsing.csail.mit.edu",
    licence="the dataset's own terms, at groups.csail.mit.edu/vision/datasets/ADE20K",
    citation="Zhou et al., Scene Parsing through ADE20K Dataset, CVPR 2017",
    download=Source("ADEChallengeData2016", (ARCHIVE,)),
)
