"""Datasets in miniature: trees with the names, file types, modes and ids of the real ones, in a few small images.

Every function writes below `folder`, gives it back, and draws the same for the same seed.
"""

import json
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.preparation.json2instanceImg import createInstanceImage
from cityscapesscripts.preparation.json2labelImg import json2labelImg
from PIL import Image

CITIES = {"train": ("aachen", "bochum", "ulm"), "val": ("frankfurt", "lindau", "munster"), "test": ("berlin", "bonn")}
LABEL_FILES = ("polygons.json", "labelIds.png", "instanceIds.png", "color.png", "labelTrainIds.png")
ADE20K_SPLITS = {"train": "training", "val": "validation"}


def cityscapes(
    folder: Path,
    train: int = 2,
    val: int = 1,
    height: int = 32,
    width: int = 64,
    test: int = 0,
    seed: int = 0,
    labels: tuple[str, ...] = LABEL_FILES,
) -> Path:
    """Cityscapes: `leftImg8bit/SPLIT/CITY` and `gtFine/SPLIT/CITY`, whose label maps the official tools draw.

    Args:
        folder: where to.
        train: images in `train`; they go round the cities.
        val: images in `val`.
        height: of each image; real ones have 1024.
        width: of each image; real ones have 2048.
        test: images in `test`, whose polygons are withheld: nothing but `out of roi`.
        seed: same seed, same files.
        labels: which label files to keep; the archives of the dataset's site have all but labelTrainIds.png.
    """
    draw = np.random.default_rng(seed)
    for split, count in {"train": train, "val": val, "test": test}.items():
        for number in range(count):
            city = CITIES[split][number % len(CITIES[split])]
            stem = f"{city}_{number:06d}_000019"
            objects = _street(draw, height, width) if split != "test" else _frame(height, width)
            image = _made(folder / "leftImg8bit" / split / city) / f"{stem}_leftImg8bit.png"
            Image.fromarray(_picture(draw, height, width)).save(image)
            start = str(_made(folder / "gtFine" / split / city) / f"{stem}_gtFine_")
            polygons = {"imgHeight": height, "imgWidth": width, "objects": objects}
            Path(f"{start}polygons.json").write_text(json.dumps(polygons, indent=4))
            for name, encoding in (("labelIds", "ids"), ("labelTrainIds", "trainIds"), ("color", "color")):
                json2labelImg(f"{start}polygons.json", f"{start}{name}.png", encoding)
            annotation = Annotation()
            annotation.fromJsonText(json.dumps(polygons))
            # The tool itself saves mode I, which Pillow 13 no longer writes.
            instances = np.asarray(createInstanceImage(annotation, "ids")).astype(np.uint16)
            Image.fromarray(instances).save(f"{start}instanceIds.png")
            for ending in set(LABEL_FILES) - set(labels):
                Path(f"{start}{ending}").unlink()
    return folder


def ade20k(
    folder: Path,
    train: int = 3,
    val: int = 2,
    height: int = 32,
    width: int = 48,
    classes: int = 150,
    same_size: bool = False,
    seed: int = 0,
) -> Path:
    """ADEChallengeData2016: jpg images of several sizes, one of them grey and one CMYK; labels 0 (other) to 150.

    Args:
        folder: where to; the archive calls it ADEChallengeData2016.
        train: images in `training`.
        val: images in `validation`.
        height: of the images, about.
        width: of the images, about.
        classes: labels go from 0 to this; fewer than 150 make networks smaller.
        same_size: whether all images have exactly that size.
        seed: same seed, same files.
    """
    draw = np.random.default_rng(seed)
    for split, count in {"train": train, "val": val}.items():
        images, annotations = (_made(folder / kind / ADE20K_SPLITS[split]) for kind in ("images", "annotations"))
        for number in range(count):
            size = (height, width) if same_size else (height + 5 * (number % 3), width - 7 * (number % 2))
            label = _blocks(draw, *size, draw.permutation(np.arange(1, classes + 1, dtype=np.uint8)))
            label[0], label[-1] = 0, classes
            stem = f"ADE_{split}_{number + 1:08d}"
            mode = {1: "L", 2: "CMYK"}.get(number, "RGB") if split == "train" else "RGB"
            Image.fromarray(_picture(draw, *size)).convert(mode).save(images / f"{stem}.jpg", quality=95)
            Image.fromarray(label).save(annotations / f"{stem}.png")
    (folder / "objectInfo150.txt").write_text("Idx\tRatio\tTrain\tVal\tName\n1\t0.1576\t11664\t1172\twall\n")
    (folder / "sceneCategories.txt").write_text("ADE_train_00000001 airport_terminal\n")
    return folder


def camvid(folder: Path, train: int = 3, val: int = 2, test: int = 1, seed: int = 0) -> Path:
    """CamVid as the SegNet tutorial lays it out, of one image type each; labels 0 to 10, and 11 unlabelled."""
    draw = np.random.default_rng(seed)
    for split, count in {"train": train, "val": val, "test": test}.items():
        for number in range(count):
            image, label = draw.integers(0, 256, (24, 32, 3), np.uint8), draw.integers(0, 12, (24, 32), np.uint8)
            Image.fromarray(image).save(_made(folder / split) / f"{number}.png")
            Image.fromarray(label).save(_made(folder / f"{split}annot") / f"{number}.png")
    return folder


def idd_lite(folder: Path, train: int = 12, val: int = 2, height: int = 24, width: int = 32, seed: int = 0) -> Path:
    """IDD Lite: sequences 0, 1, ... of one or two images each; labels 0 to 6, and 255 ignored.

    Args:
        folder: where to; the archive calls it idd20k_lite.
        train: sequences of `train`.
        val: sequences of `val`, whose numbers go on.
        height: of each image; real ones have 227.
        width: of each image; real ones have 320.
        seed: same seed, same files.
    """
    draw = np.random.default_rng(seed)
    for sequence in range(train + val):
        place = Path("train" if sequence < train else "val", str(sequence))
        for number in range(1 + sequence % 2):
            label = _blocks(draw, height, width, np.array([*range(7), 255], dtype=np.uint8))
            image = _made(folder / "leftImg8bit" / place) / f"{number:06d}_image.jpg"
            Image.fromarray(_picture(draw, height, width)).save(image, quality=95)
            Image.fromarray(label).save(_made(folder / "gtFine" / place) / f"{number:06d}_label.png")
    return folder


def nyuv2(folder: Path, images: int = 150, height: int = 12, width: int = 16, seed: int = 0) -> Path:
    """NYU Depth v2 without depth: numbers 1, 2, ..., of which every third is of `test`; labels 0 (other) to 40."""
    draw = np.random.default_rng(seed)
    for number in range(1, images + 1):
        label = _blocks(draw, height, width, draw.permutation(np.arange(41, dtype=np.uint8)))
        Image.fromarray(_picture(draw, height, width)).save(_made(folder / "images") / f"{number}.jpg")
        Image.fromarray(label).save(_made(folder / "labels") / f"{number}.png")
    for split, chosen in (("train", True), ("test", False)):
        numbers = [number for number in range(1, images + 1) if (number % 3 > 0) == chosen]
        (folder / f"{split}.txt").write_text("".join(f"{number}\n" for number in numbers))
    return folder


def own(folder: Path, train: int = 3, val: int = 2, height: int = 32, width: int = 48, seed: int = 0) -> Path:
    """Data of one's own for `dataset: folder`: three classes, ignored value 255, jpg, jpeg and png, a subfolder."""
    draw = np.random.default_rng(seed)
    for split, count in {"train": train, "val": val}.items():
        for number in range(count):
            name = Path(split, "station" if number % 2 else "", f"photo{number}")
            image = folder / "images" / name.with_suffix((".jpg", ".png", ".jpeg")[number % 3])
            label = folder / "labels" / name.with_suffix(".png")
            _made(image.parent)
            _made(label.parent)
            Image.fromarray(_picture(draw, height, width)).save(image)
            Image.fromarray(_blocks(draw, height, width, np.array([0, 1, 2, 255], dtype=np.uint8))).save(label)
    (folder / "classes.yaml").write_text("classes:\n  - track\n  - platform\n  - train\nignored: [255]\n")
    return folder


def masks(folder: Path, train: list[list[int]], val: list[list[int]], classes: str) -> Path:
    """Data of one's own for `dataset: folder`, whose label maps hold the given values in stripes of one width.

    Args:
        folder: where to.
        train: the values of every image of `train`.
        val: those of `val`.
        classes: what classes.yaml says.
    """
    height, width = 8, 12
    for split, several in (("train", train), ("val", val)):
        for number, values in enumerate(several):
            label = np.repeat(np.array(values, dtype=np.uint8), width // len(values))[None].repeat(height, axis=0)
            Image.fromarray(label).save(_made(folder / "labels" / split) / f"{number}.png")
            Image.new("RGB", (width, height)).save(_made(folder / "images" / split) / f"{number}.png")
    (folder / "classes.yaml").write_text(classes, encoding="utf-8")
    return folder


def zipped(folder: Path, top: str = "", only: str = "*", comment: str = "") -> bytes:
    """A zip archive of the files below `folder` whose path matches `only`, under the folder `top`."""
    stream = BytesIO()
    with ZipFile(stream, "w", ZIP_DEFLATED) as archive:
        archive.comment = comment.encode()
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_dir():
                archive.write(path, f"{top}{name.as_posix()}/")
            elif path.is_file() and name.match(only):
                archive.write(path, f"{top}{name.as_posix()}")
    return stream.getvalue()


def add_member(archive: Path, name: str, content: bytes) -> None:
    """Put one more file into a zip archive, under any name."""
    with ZipFile(archive, "a", ZIP_DEFLATED) as content_of:
        content_of.writestr(name, content)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _picture(draw: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A smooth colour gradient with noise."""
    ramp = np.linspace(40, 200, height)[:, None, None] + np.linspace(-30, 30, width)[None, :, None]
    return np.clip(ramp + draw.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)


def _blocks(draw: np.random.Generator, height: int, width: int, values: np.ndarray) -> np.ndarray:
    """A label map of rectangles, on a grid of 4 by 4."""
    cells = np.resize(values, 16)[draw.permutation(16)].reshape(4, 4)
    return cells[np.arange(height) * 4 // height][:, np.arange(width) * 4 // width].copy()


def _street(draw: np.random.Generator, height: int, width: int) -> list[dict[str, object]]:
    """Objects of a street, later ones in front, with everything that the polygons of Cityscapes have."""
    horizon = int(height * draw.uniform(0.3, 0.5))
    left, side = int(width * draw.uniform(0.1, 0.5)), max(4, width // 6)
    objects = [
        _box("sky", 0, 0, width, horizon),
        _box("building", 0, horizon // 2, width // 2, horizon + 2),
        _box("vegetation", width // 2, horizon // 3, width, horizon + 2),
        {
            "label": "road",
            "polygon": [[0, height - 1], [width - 1, height - 1], [width * 2 // 3, horizon], [width // 3, horizon]],
        },
        _box("sidewalk", 0, horizon + 1, width // 4, height - 1),
        _box("cargroup", left, horizon, left + side, horizon + height // 4),
        _box("car", left + side, horizon, left + 2 * side, horizon + height // 3),
        _box("license plate", left + side + 1, horizon + 2, left + side + 3, horizon + 4),  # id -1: never drawn
        _box("parking", width - side, height - height // 5, width - 1, height - 1),  # not evaluated
        _box("person", width - side, horizon, width - side + 2, horizon + height // 4),
        _box("train", 0, 0, width - 1, height - 1) | {"deleted": 1},
    ]
    return [*objects, *_frame(height, width)]


def _frame(height: int, width: int) -> list[dict[str, object]]:
    """What every polygon file ends with: the car that carries the camera, and the border."""
    return [_box("ego vehicle", width // 4, height - 2, width // 2, height - 1), _box("out of roi", 0, 0, width, 0)]


def _box(label: str, left: int, top: int, right: int, bottom: int) -> dict[str, object]:
    return {"label": label, "polygon": [[left, top], [right, top], [right, bottom], [left, bottom]]}
