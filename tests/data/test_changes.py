"""A dataset that changed after stage `data` is noticed, whatever changed; what is the same is not."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile import refusal
from miniature import masks
from PIL import Image
from stage import Stage
from tiers import first

from paumer.config.network import Data
from paumer.data import manifest as changes
from paumer.data.manifest import RECORD, samples, state
from paumer.data.preparation import prepare
from paumer.system.files import read_json

CLASSES = "classes: [a, b, c]\nignored: [255]\n"


class Own(Stage):
    """Data of one's own that was prepared."""

    def __init__(self, folder: Path) -> None:
        super().__init__(masks(folder, [[0, 1, 2], [2, 1, 0]], [[0, 1, 2]], CLASSES))
        self.prepare()

    def state(self) -> str:
        return state(self.data, self.manifest)


@pytest.fixture
def own(tmp_path: Path) -> Own:
    return Own(tmp_path / "own")


def rewrite(path: Path, values: tuple[int, int], keep: bool = False) -> None:
    """Turn one pixel of a label map from one value into another, in a file that is a little younger, or older."""
    before, image = path.stat(), Image.open(path).copy()
    assert image.getpixel((0, 0)) == values[0]
    image.putpixel((0, 0), values[1])
    image.save(path)
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns - 10**9 if keep else before.st_mtime_ns + 1))


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


SAME: dict[str, Callable[[Path], object]] = {
    "nothing": lambda folder: None,
    "times": lambda folder: [os.utime(path) for path in folder.rglob("*.png")],
    "files written anew": lambda folder: [path.write_bytes(path.read_bytes()) for path in folder.rglob("*.png")],
    "a remark": lambda folder: append(folder / "classes.yaml", "# corrected\n"),
    "colours": lambda folder: append(folder / "classes.yaml", "colours: [[1, 2, 3], [4, 5, 6], [7, 8, 9]]\n"),
    "another split": lambda folder: shutil.copytree(folder / "images/val", folder / "images/test"),
    "a label without an image": lambda folder: shutil.copy(folder / "labels/val/0.png", folder / "labels/val/9.png"),
    "a hidden file": lambda folder: (folder / "images/val/._0.png").write_bytes(b""),
}


@pytest.mark.parametrize("name", SAME)
def test_what_is_the_same_data_stays(own: Own, name: str) -> None:
    before = read_json(own.manifest)
    SAME[name](own.folder)
    assert own.state() == ""
    assert [len(samples(own.manifest, split)[1]) for split in ("train", "val")] == [2, 1]
    assert own.prepare() == before
    assert own.state() == ""


CHANGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a label": (lambda folder: rewrite(folder / "labels/train/0.png", (0, 1)), "images/train/0.png: it or its label"),
    "a label, older": (lambda folder: rewrite(folder / "labels/train/0.png", (0, 1), keep=True), "images/train/0.png"),
    "an image": (
        lambda folder: Image.new("RGB", (12, 8), "red").save(folder / "images/train/1.png"),
        "images/train/1.png: it or its label was changed",
    ),
    "an image more": (
        lambda folder: [shutil.copy(folder / kind / "train/0.png", folder / kind / "train/9.png") for kind in KINDS],
        "images/train/9.png: it or its label was added",
    ),
    "an image less": (lambda folder: (folder / "images/train/1.png").unlink(), "images/train/1.png: it or its label"),
    "a name": (
        lambda folder: [(folder / kind / "train/1.png").rename(folder / kind / "train/2.png") for kind in KINDS],
        "images/train/",
    ),
    "the order of the classes": (
        lambda folder: (folder / "classes.yaml").write_text("classes: [a, c, b]\nignored: [255]\n"),
        "own: its classes or their values were changed",
    ),
    "the name of a class": (
        lambda folder: (folder / "classes.yaml").write_text("classes: [a, b, d]\nignored: [255]\n"),
        "own: its classes or their values were changed",
    ),
    "what is ignored": (
        lambda folder: (folder / "classes.yaml").write_text("classes: {0: a, 1: b}\nignored: [2, 255]\n"),
        "own: its classes or their values were changed",
    ),
}
KINDS = ("images", "labels")


@pytest.mark.parametrize("name", CHANGED)
def test_what_changed_is_noticed_and_named(own: Own, name: str) -> None:
    change, said = CHANGED[name]
    before = read_json(own.manifest)
    change(own.folder)
    told = own.state()
    assert said in told
    assert own.state() == told  # each process of a workflow that plans comes to the same
    line = refusal(samples, own.manifest, "train")
    assert said in line
    assert line.endswith("since stage data checked it; run the workflow again, which measures anew what rests on it")
    own.prepare()
    assert own.state() == told
    assert samples(own.manifest, "train")
    assert read_json(own.manifest)["splits"]["train"]["sha256"] != before["splits"]["train"]["sha256"]


def test_each_change_gives_another_state(own: Own) -> None:
    states = [own.state()]
    label = own.folder / "labels/train/0.png"
    for values in ((0, 1), (1, 2), (2, 0)):
        rewrite(label, values)
        states.append(own.state())
        own.prepare()
        assert own.state() == states[-1]
    assert len(set(states)) == len(states)


@pytest.mark.parametrize("kind", first(["labels", "images"]))
def test_contents_decide_where_size_and_time_stay(own: Own, kind: str) -> None:
    """As tools leave it that correct a file in place and set its time back."""
    path = own.folder / kind / "train/0.png"
    before, content = path.stat(), bytearray(path.read_bytes())
    content[-13] ^= 1  # a byte of the checksum of the last chunk but one
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert "images/train/0.png: it or its label was changed" in own.state()
    assert "images/train/0.png" in refusal(samples, own.manifest, "train")


def test_only_what_moved_is_read_and_once(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    checksum = changes._checksum
    monkeypatch.setattr(changes, "_checksum", lambda sample: read.append(sample.image.name) or checksum(sample))
    own.state()
    assert read == []
    os.utime(own.folder / "labels/train/1.png")
    own.state()
    assert read == ["1.png"]
    own.state()
    assert read == ["1.png"]


def test_another_folder_is_a_change_but_none_is_not(own: Own, tmp_path: Path) -> None:
    shutil.copytree(own.folder, tmp_path / "copy")
    told = state(Data(dataset="folder", folder=str(tmp_path / "copy")), own.manifest)
    assert "copy: another folder (" in told
    (own.folder / "classes.yaml").write_text("classes: [a")
    assert "classes.yaml: not valid YAML" in own.state()  # which stage `data` will raise, too
    own.folder.rename(own.folder.with_name("elsewhere"))
    assert own.state() == ""


DAMAGED = [None, "", "[]", '{"state": ""}', '{"state": "", "folder": "", "meaning": "", "splits": {"a": [1]}}']


@pytest.mark.parametrize("content", DAMAGED)
def test_without_a_record_nothing_is_compared(own: Own, content: str | None) -> None:
    record = own.manifest.with_name(RECORD)
    record.unlink() if content is None else record.write_text(content)
    rewrite(own.folder / "labels/train/0.png", (0, 1))
    assert own.state() == ""
    assert samples(own.manifest, "train")


def test_any_folder_may_be_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    masks(tmp_path / "own", [[0]], [[0]], "classes: [a, b]\n")
    prepare(Data(dataset="folder", folder="own"), Path("results/data.json"), threads=1)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert samples(tmp_path / "results/data.json", "val")[1][0].image == tmp_path / "own/images/val/0.png"
    monkeypatch.chdir(tmp_path / "own")
    for folder in (".", "../own/"):
        prepare(Data(dataset="folder", folder=folder), tmp_path / "other/data.json", threads=1)
        assert state(Data(dataset="folder", folder=folder), tmp_path / "other/data.json") == ""
        assert len(samples(tmp_path / "other/data.json", "val")[1]) == 1
        (tmp_path / "other/data_files.json").unlink()


def test_results_with_their_data_may_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    drawn = Data(scenes={"train_images": 1, "val_images": 1, "height": 32, "width": 64})
    prepare(drawn, Path("results/data.json"), threads=1)
    Path("results").rename("moved")
    assert len(samples(Path("moved/data.json"), "val")[1]) == 1
    assert state(drawn, Path("moved/data.json")) == ""
