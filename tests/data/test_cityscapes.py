"""Cityscapes in miniature: every encoding of its labels is read as the official tools mean it."""

import re
from pathlib import Path

import miniature
import numpy as np
import pytest
from cityscapesscripts.helpers.labels import id2label, trainId2label
from hostile import refusal
from PIL import Image
from stage import Stage

from paumer.config.network import Scenes
from paumer.data import cityscapes
from paumer.data.catalogue import DATASETS
from paumer.data.cityscapes import draw_train_ids, train_id_drawer
from paumer.data.cityscapes_labels import LABELS
from paumer.data.images import read_label, read_sample

DATASET = DATASETS["cityscapes"]
PUBLISHED = ("polygons.json", "labelIds.png", "instanceIds.png", "color.png")


def labels(root: Path, split: str = "train") -> list[np.ndarray]:
    return [read_sample(sample, DATASET)[1] for sample in DATASET.samples(root, split)]


def test_table_is_the_official_one() -> None:
    assert [(label.name, label.id, label.train_id, label.colour) for label in LABELS] == [
        (label.name, label.id, label.trainId, label.color) for label in id2label.values() if label.id >= 0
    ]
    assert DATASET.classes == tuple(trainId2label[number].name for number in range(19))


def test_label_ids_are_read_as_train_ids(tmp_path: Path) -> None:
    train_ids = miniature.cityscapes(tmp_path / "a")
    label_ids = miniature.cityscapes(tmp_path / "b", labels=("labelIds.png",))
    for expected, found in zip(labels(train_ids), labels(label_ids), strict=True):
        assert np.array_equal(expected, found)
    Stage(label_ids, "cityscapes").prepare()
    assert not list(label_ids.rglob("*labelTrainIds.png"))  # the user's folder stays as it is


def test_values_of_another_encoding_are_pointed_out(tmp_path: Path) -> None:
    path = tmp_path / "a_gtFine_labelTrainIds.png"
    Image.fromarray(np.full((4, 4), 33, dtype=np.uint8)).save(path)
    line = refusal(read_label, path, DATASET)
    assert line.startswith(f"{path}: label value 33 is no class of cityscapes (0 to 18, ignored: 255)")
    assert line.endswith("its values are those of a file *_gtFine_labelIds.png: rename it")
    path = tmp_path / "a_gtFine_labelIds.png"
    Image.fromarray(np.full((4, 4), 34, dtype=np.uint8)).save(path)
    line = refusal(read_label, path, DATASET)
    assert re.search(r"label value 34 .*\(7, 8, 11, .*ignored: 0, 1, .*convert the labels", line)


def test_train_ids_are_drawn_from_polygons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = miniature.cityscapes(tmp_path / "a", train=3)
    root = miniature.cityscapes(tmp_path / "b", train=3, labels=("polygons.json",))
    train_id_drawer()(root, 1)
    drawn = sorted(path.relative_to(root) for path in root.rglob("*labelTrainIds.png"))
    assert len(drawn) == 4
    for path in drawn:
        assert np.array_equal(np.asarray(Image.open(root / path)), np.asarray(Image.open(expected / path)))
    assert "drawing train ids" in capsys.readouterr().err


def test_drawing_goes_on_where_it_stopped(tmp_path: Path) -> None:
    root = miniature.cityscapes(tmp_path / "a", train=3)
    lost, *kept = sorted(root.rglob("*labelTrainIds.png"))
    before = {path: path.stat().st_mtime_ns for path in kept}
    lost.unlink()
    draw_train_ids(root, processes=2)
    assert lost.exists()
    assert {path: path.stat().st_mtime_ns for path in kept} == before


@pytest.mark.parametrize(
    "content",
    ["not JSON", "{}", '{"imgHeight": 4, "imgWidth": 4, "objects": [{"label": "moon", "polygon": [[0, 0]]}]}'],
)
def test_broken_polygons(tmp_path: Path, content: str, capfd: pytest.CaptureFixture[str]) -> None:
    root = miniature.cityscapes(tmp_path / "a", labels=("polygons.json",))
    broken = sorted(root.rglob("*polygons.json"))[0]
    broken.write_text(content)
    assert refusal(draw_train_ids, root, processes=1).startswith(f"{broken}: no polygons of Cityscapes")
    assert {path.suffix for path in broken.parent.iterdir()} == {".json"}  # nothing half written
    assert capfd.readouterr().out == ""


def test_full_disk_while_drawing(tmp_path: Path, small_files) -> None:
    root = miniature.cityscapes(tmp_path / "a", labels=("polygons.json",), height=256, width=512)
    with small_files(100):
        line = refusal(draw_train_ids, root, processes=1)
    assert "labelTrainIds.png: cannot be written ([Errno 27] File too large)" in line
    assert {path.suffix for path in (root / "gtFine").rglob("*.*")} == {".json"}
    draw_train_ids(root, processes=1)
    assert len(list(root.rglob("*labelTrainIds.png"))) == 3


def test_polygons_alone_are_pointed_out(tmp_path: Path) -> None:
    stage = Stage(miniature.cityscapes(tmp_path / "a", labels=("polygons.json",)), "cityscapes")
    assert "has no label; " in (line := stage.refusal())
    assert "`paumer data cityscapes --output FOLDER` draws those" in line


def test_scenes_pass_the_same_loader(tmp_path: Path) -> None:
    scenes = Scenes(train_images=2, val_images=1, height=32, width=64)
    drawn = Stage(tmp_path / "scenes", "scenes", scenes=scenes).prepare()
    same = Stage(tmp_path / "scenes", "cityscapes").prepare()
    assert (drawn["splits"], drawn["classes"]) == (same["splits"], same["classes"])
    expected = labels(tmp_path / "scenes")
    for path in tmp_path.rglob("*labelTrainIds.png"):
        path.unlink()
    assert all(np.array_equal(*pair) for pair in zip(expected, labels(tmp_path / "scenes"), strict=True))


def test_counts_of_the_archives() -> None:
    labels, images = cityscapes.ARCHIVES
    assert {count for pattern, count in images.files.items() if "/train/" in pattern} == {2975}
    assert {count for pattern, count in labels.files.items() if "/val/" in pattern} == {500}
