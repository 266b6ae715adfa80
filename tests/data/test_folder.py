"""Data of one's own: the documented example works, and mistakes in the class list are one line."""

import re
from pathlib import Path

import miniature
import numpy as np
import pytest
import yaml
from hostile import refusal
from PIL import Image
from tiers import first

from paumer.config.network import Data
from paumer.data.datasets import distinct_colours
from paumer.data.images import read_sample
from paumer.data.manifest import samples
from paumer.data.preparation import prepare
from paumer.system.files import read_json

PAGE = Path(__file__).parents[2] / "docs/data.md"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return miniature.own(tmp_path / "own")


def prepared(root: Path) -> dict:
    prepare(Data(dataset="folder", folder=str(root)), root.parent / "data.json", threads=1)
    return read_json(root.parent / "data.json")


def failure(root: Path) -> str:
    line = refusal(prepared, root)
    assert not (root.parent / "data.json").exists()
    return line


def test_stage_reads_it(own: Path) -> None:
    manifest = prepared(own)
    assert manifest["classes"] == ["track", "platform", "train"]
    assert {name: split["images"] for name, split in manifest["splits"].items()} == {"train": 3, "val": 2}
    dataset, found = samples(own.parent / "data.json", "train")
    assert [sample.image.relative_to(own).as_posix() for sample in found] == [
        "images/train/photo0.jpg",
        "images/train/photo2.jpeg",
        "images/train/station/photo1.png",
    ]
    image, label = read_sample(found[2], dataset)
    assert np.array_equal(image, np.asarray(Image.open(own / "images/train/station/photo1.png")))
    assert np.array_equal(label, np.asarray(Image.open(own / "labels/train/station/photo1.png")))
    assert set(np.unique(label)) == {0, 1, 2, 255}
    assert dataset.colours == distinct_colours(3)


def test_example_of_the_page_works(own: Path) -> None:
    page = PAGE.read_text()
    text = next(block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "classes:" in block)
    content = yaml.safe_load(text)
    (own / "classes.yaml").write_text(text)
    values = [*content["classes"], *content["ignored"]]
    for number, path in enumerate(sorted(own.glob("labels/**/*.png"))):
        Image.fromarray(np.resize(np.array(np.roll(values, number), dtype=np.uint8), (32, 48))).save(path)
    manifest = prepared(own)
    assert manifest["classes"] == list(content["classes"].values())
    assert manifest["licence"] == content["licence"]
    dataset, found = samples(own.parent / "data.json", "val")
    assert dataset.colours == tuple(map(tuple, content["colours"]))
    raw = np.asarray(Image.open(found[0].label))
    label = read_sample(found[0], dataset)[1]
    for number, value in enumerate(content["classes"]):
        assert np.array_equal(label == number, raw == value)
    assert np.array_equal(label == 255, np.isin(raw, content["ignored"]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("classes: []", "classes: "),
        ("classes: [a, a]", "'a' stands there twice"),
        ("classes: {1: a}\nignored: [0]", "'a' alone leaves nothing to tell apart"),
        ("classes: [a, yes]", "classes.1: input should be a valid string"),
        ("classes: [a, '']", "classes.1: "),
        ('classes: [a, "b\\nc"]', "classes.1: 'b\\nc' holds characters that cannot be printed"),
        ("classes: {300: a}", "classes.300"),
        ("classes: {-1: a}", "classes.-1"),
        ("classes: [a, b]\ncolours: [[0, 0, 0]]", "colours: 1 for 2 classes"),
        ("classes: [a]\ncolours: [[0, 0, 256]]", "colours.0.2: "),
        ("classes: [a, b]\nignored: [1]", "ignored: 1 is the value of class 'b'"),
        ("classes: [a]\nignored: [256]", "ignored.0: "),
        ("classes: [a]\ncolors: []", "unknown key 'colors'; did you mean 'colours'?"),
        ("names: [a]", "key 'classes' is missing"),
        ("[a, b]", "must hold keys and values"),
        ("classes: [a", "not valid YAML"),
        (f"classes: {[f'class {number}' for number in range(256)]}", "classes: "),
    ],
)
def test_wrong_class_list(own: Path, text: str, expected: str) -> None:
    (own / "classes.yaml").write_text(text)
    line = failure(own)
    assert line.startswith(f"{own / 'classes.yaml'}: ")
    assert expected in line


def test_missing_class_list(own: Path) -> None:
    (own / "classes.yaml").unlink()
    assert failure(own).startswith(f"{own / 'classes.yaml'}: no such file; ")


def test_missing_label_and_split(own: Path) -> None:
    (own / "labels/val/photo0.png").unlink()
    line = failure(own)
    assert f"{own / 'images/val/photo0.jpg'}: has no label; expected {own / 'labels/val/photo0.png'}" in line
    (own / "images/val").rename(own / "images/validation")
    assert f"{own / 'images/val'}: no such folder for split 'val'" in failure(own)


@pytest.mark.parametrize("ending", first([".TIF", ".Png", ".bmp", ".Tif", ".TIFF", ".PNG"]))
def test_endings_of_label_maps_in_any_letters(own: Path, ending: str) -> None:
    for path in (own / "labels").rglob("*.png"):
        Image.open(path).save(path.with_suffix(ending))
        path.unlink()
    assert prepared(own)["splits"]["train"]["images"] == 3


@pytest.mark.parametrize("name", first(["photo0.jpg", "photo0.gif", "photo0.npy"]))
def test_what_lies_in_the_place_of_a_label_map_is_named(own: Path, name: str) -> None:
    (own / "labels/val/photo0.png").rename(own / "labels/val" / name)
    assert f"(beside it lies {name}, which is no label map by its name)" in failure(own)


def test_a_file_in_the_place_of_a_split(own: Path) -> None:
    (own / "images/val").rename(own / "elsewhere")
    (own / "images/val").write_text("photo0.jpg\n")
    assert f"{own / 'images/val'}: is no folder, which it must be for split 'val'" in failure(own)


def test_colours_are_distinct() -> None:
    colours = np.array(distinct_colours(255))
    assert len(np.unique(colours, axis=0)) == 255
    assert colours.min() >= 0
    assert colours.max() <= 255
    assert colours.max(axis=1).min() > 60  # black is what is ignored
    steps = np.abs(np.diff(colours, axis=0)).sum(axis=1)
    assert steps.min() > 100
    assert distinct_colours(3) == distinct_colours(255)[:3]
