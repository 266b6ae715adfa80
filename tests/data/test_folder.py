"""Data of one's own: the documented example works, and mistakes in the class list are one line."""

import re
from pathlib import Path

import miniature
import numpy as np
import pytest
import yaml
from PIL import Image
from stage import Stage
from tiers import first

from paumer.data.datasets import distinct_colours
from paumer.data.manifest import samples

PAGE = Path(__file__).parents[2] / "docs/data.md"


@pytest.fixture
def own(tmp_path: Path) -> Stage:
    return Stage(miniature.own(tmp_path / "own"))


def test_stage_reads_it(own: Stage) -> None:
    manifest = own.prepare()
    assert manifest["classes"] == ["track", "platform", "train"]
    assert own.images() == {"train": 3, "val": 2}
    dataset, found = samples(own.manifest, "train")
    names = ["photo0.jpg", "photo2.jpeg", "station/photo1.png"]
    assert [sample.image for sample in found] == [own.folder / "images/train" / name for name in names]
    image, label = own.read()[2]
    assert np.array_equal(image, np.asarray(Image.open(found[2].image)))
    assert np.array_equal(label, np.asarray(Image.open(own.folder / "labels/train/station/photo1.png")))
    assert set(np.unique(label)) == {0, 1, 2, 255}
    assert dataset.colours == distinct_colours(3)


def test_example_of_the_page_works(own: Stage) -> None:
    page = PAGE.read_text()
    text = next(block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "classes:" in block)
    content = yaml.safe_load(text)
    (own.folder / "classes.yaml").write_text(text)
    values = [*content["classes"], *content["ignored"]]
    for number, path in enumerate(sorted(own.folder.glob("labels/**/*.png"))):
        Image.fromarray(np.resize(np.array(np.roll(values, number), dtype=np.uint8), (32, 48))).save(path)
    manifest = own.prepare()
    assert manifest["classes"] == list(content["classes"].values())
    assert manifest["licence"] == content["licence"]
    dataset, found = samples(own.manifest, "val")
    assert dataset.colours == tuple(map(tuple, content["colours"]))
    raw, (_, label) = np.asarray(Image.open(found[0].label)), own.read("val")[0]
    for number, value in enumerate(content["classes"]):
        assert np.array_equal(label == number, raw == value)
    assert np.array_equal(label == 255, np.isin(raw, content["ignored"]))


WRONG = {
    "classes: []": "classes: ",
    "classes: [a, a]": "'a' stands there twice",
    "classes: {1: a}\nignored: [0]": "'a' alone leaves nothing to tell apart",
    "classes: [a, yes]": "classes.1: input should be a valid string",
    "classes: [a, '']": "classes.1: ",
    'classes: [a, "b\\nc"]': "classes.1: 'b\\nc' holds characters that cannot be printed",
    "classes: {300: a}": "classes.300",
    "classes: {-1: a}": "classes.-1",
    "classes: [a, b]\ncolours: [[0, 0, 0]]": "colours: 1 for 2 classes",
    "classes: [a]\ncolours: [[0, 0, 256]]": "colours.0.2: ",
    "classes: [a, b]\nignored: [1]": "ignored: 1 is the value of class 'b'",
    "classes: [a]\nignored: [256]": "ignored.0: ",
    "classes: [a]\ncolors: []": "unknown key 'colors'; did you mean 'colours'?",
    "names: [a]": "key 'classes' is missing",
    "[a, b]": "must hold keys and values",
    "classes: [a": "not valid YAML",
    f"classes: {[f'class {number}' for number in range(256)]}": "classes: ",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_class_list(own: Stage, text: str) -> None:
    (own.folder / "classes.yaml").write_text(text)
    line = own.refusal()
    assert line.startswith(f"{own.folder / 'classes.yaml'}: ")
    assert WRONG[text] in line


def test_missing_files_are_named(own: Stage) -> None:
    images, labels = own.folder / "images", own.folder / "labels"
    (labels / "val/photo0.png").rename(labels / "val/photo0.npy")
    line = own.refusal()
    assert f"{images / 'val/photo0.jpg'}: has no label; expected {labels / 'val/photo0.png'}" in line
    assert "(beside it lies photo0.npy, which is no label map by its name)" in line
    (images / "val").rename(images / "validation")
    assert f"{images / 'val'}: no such folder for split 'val'" in own.refusal()
    (images / "val").write_text("photo0.jpg\n")
    assert f"{images / 'val'}: is no folder, which it must be for split 'val'" in own.refusal()
    (own.folder / "classes.yaml").unlink()
    assert own.refusal().startswith(f"{own.folder / 'classes.yaml'}: no such file; ")


@pytest.mark.parametrize("ending", first([".TIF", ".Png", ".bmp", ".Tif", ".TIFF", ".PNG"]))
def test_endings_of_label_maps_in_any_letters(own: Stage, ending: str) -> None:
    for path in (own.folder / "labels").rglob("*.png"):
        Image.open(path).save(path.with_suffix(ending))
        path.unlink()
    assert own.images()["train"] == 3


def test_colours_are_distinct() -> None:
    colours = np.array(distinct_colours(255))
    assert len(np.unique(colours, axis=0)) == 255
    assert colours.min() >= 0
    assert colours.max() <= 255
    assert colours.max(axis=1).min() > 60  # black is what is ignored
    assert np.abs(np.diff(colours, axis=0)).sum(axis=1).min() > 100
    assert distinct_colours(3) == distinct_colours(255)[:3]
