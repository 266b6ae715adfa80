"""Street scenes: layout, determinism, labels and class frequencies."""

import hashlib
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from paumer.config.base import IGNORE
from paumer.config.network import Data, Scenes
from paumer.data.cityscapes import DATASET
from paumer.data.cityscapes_labels import LABELS
from paumer.data.preparation import prepare
from paumer.data.scenes import draw_scene, generate
from paumer.system.errors import PaumerError


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


PILLOW, NUMPY = "13.0", "2.4"  # with which the checksum was taken: other versions may round a pixel differently
DRAWN = "29a0c5f1b95060423b6226764effd62d338f032d4783d116403082835ff07bed"


@pytest.mark.skipif(
    not PIL.__version__.startswith(PILLOW) or not np.__version__.startswith(NUMPY), reason="other versions of libraries"
)
def test_scenes_are_those_of_before() -> None:
    """Results of before are of these scenes, so what changes a pixel makes new results."""
    total, sizes = hashlib.sha256(), [(32, 32), (48, 96), (97, 191), (96, 192), (64, 40), (128, 256)]
    for index in range(24):
        image, label_ids = draw_scene(np.random.default_rng([11, index]), *sizes[index % 6])
        total.update(image.tobytes() + label_ids.tobytes())
    assert total.hexdigest() == DRAWN


def test_bytes_depend_neither_on_processes_nor_on_counts(tmp_path: Path) -> None:
    generate(tmp_path / "one", 3, 1, 48, 96, seed=7)
    generate(tmp_path / "two", 5, 2, 48, 96, seed=7, processes=2)
    one, two = _content(tmp_path / "one"), _content(tmp_path / "two")
    assert len(one) == 12 and len(two) == 21
    assert one.items() <= two.items()


def test_every_scene_differs_and_replaces_what_was_there(tmp_path: Path) -> None:
    generate(tmp_path / "a", 2, 1, 32, 64, seed=1)
    generate(tmp_path / "b", 2, 1, 32, 64, seed=2)
    images = {path.read_bytes() for path in tmp_path.rglob("*_leftImg8bit.png")}
    assert len(images) == 6
    generate(tmp_path / "a", 1, 0, 32, 64, seed=2)
    assert _content(tmp_path / "a").items() < _content(tmp_path / "b").items()


def test_layout_is_that_of_cityscapes(tmp_path: Path) -> None:
    generate(tmp_path, 2, 1, 32, 64, seed=0)
    train_ids = np.full(256, IGNORE)
    train_ids[[label.id for label in LABELS]] = [label.train_id for label in LABELS]
    for split, count in (("train", 2), ("val", 1)):
        paths = DATASET.layout.image_paths(tmp_path, split)
        assert len(paths) == count
        for path in paths:
            assert path.name.startswith(f"{path.parent.name}_00000")
            label = DATASET.layout.label_path(tmp_path, split, path)
            ids = label.with_name(label.name.replace("labelTrainIds", "labelIds"))
            with Image.open(path) as image, Image.open(label) as evaluated, Image.open(ids) as every:
                assert (image.mode, evaluated.mode, every.mode) == ("RGB", "L", "L")
                assert image.size == evaluated.size == every.size == (64, 32)
                assert np.array_equal(np.asarray(evaluated), train_ids[np.asarray(every)])


@pytest.mark.parametrize(
    ("train_images", "height", "seed", "processes"), [(1, 31, 0, 1), (-1, 32, 0, 1), (1, 32, -1, 1), (1, 32, 0, 0)]
)
def test_values_out_of_range_are_refused(
    tmp_path: Path, train_images: int, height: int, seed: int, processes: int
) -> None:
    with pytest.raises(PaumerError):
        generate(tmp_path / "data", train_images, 1, height, 64, seed, processes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("height", "width"), [(32, 32), (48, 96), (97, 191), (256, 512), (64, 40)])
def test_scenes_come_in_any_size(height: int, width: int) -> None:
    image, label_ids = draw_scene(np.random.default_rng(3), height, width)
    assert image.shape == (height, width, 3) and image.dtype == np.uint8
    assert label_ids.shape == (height, width) and label_ids.dtype == np.uint8
    assert {label.id for label in LABELS} >= set(np.unique(label_ids).tolist())
    assert image.std() > 5


def test_colour_does_not_give_the_class_away() -> None:
    """Mean colours of classes differ less between classes than colours vary within them."""
    pixels: dict[int, list[np.ndarray]] = {}
    for index in range(30):
        image, label_ids = draw_scene(np.random.default_rng([4, index]), 48, 96)
        for label in np.unique(label_ids):
            pixels.setdefault(int(label), []).append(image[label_ids == label].astype(float))
    colours = {label: np.concatenate(parts) for label, parts in pixels.items()}
    names = {label.name: label.id for label in LABELS}
    # Pairs of common classes only: a rare class has the colours of the few objects drawn.
    for first, second in (("road", "sidewalk"), ("building", "wall"), ("building", "car"), ("road", "car")):
        one, other = colours[names[first]], colours[names[second]]
        assert (np.abs(one.mean(0) - other.mean(0)) < 1.5 * (one.std(0) + other.std(0)) / 2).all()


def test_full_disk_while_scenes_are_drawn(tmp_path: Path, small_files) -> None:
    data = Data(folder=str(tmp_path / "scenes"), scenes=Scenes(train_images=2, val_images=1, height=64, width=64))
    with small_files(1000), pytest.raises(PaumerError, match="scenes: cannot be written"):
        prepare(data, tmp_path / "data.json", threads=1)
    assert list(tmp_path.iterdir()) == []
