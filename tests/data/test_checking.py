"""What stage `data` says of a split that is read without an error, and may not be what was meant."""

from pathlib import Path

import pytest
from hostile import refusal
from miniature import masks
from PIL import Image
from tiers import first

from paumer.config.network import Data
from paumer.data.images import read_sample
from paumer.data.manifest import samples
from paumer.data.preparation import prepare
from paumer.reporting.page.provenance import data_sheet
from paumer.system.files import read_json


def data(folder: Path) -> Data:
    return Data(dataset="folder", folder=str(folder))


def prepared(folder: Path) -> dict:
    prepare(data(folder), folder.parent / "data.json", threads=1)
    return read_json(folder.parent / "data.json")


def refused(folder: Path) -> str:
    line = refusal(prepare, data(folder), folder.parent / "data.json", threads=1)
    assert not (folder.parent / "data.json").exists()
    return line


@pytest.mark.parametrize("classes", ["[background, road]", "{0: background, 1: road}", "[a, b, c]"])
def test_masks_of_0_and_255_are_not_ignored_in_silence(tmp_path: Path, classes: str) -> None:
    folder = masks(tmp_path / "own", [[0, 255]], [[255, 0]], f"classes: {classes}\n")
    line = refused(folder)
    assert f"{folder}: label maps of split 'train' hold the values 0 and 255 alone" in line
    assert "if it is a class, write classes: {0: " in line and ", 255: " in line
    assert line.endswith("ignored: [255]")
    if "road" in classes:
        assert "{0: background, 255: road}" in line


def test_masks_of_0_and_255_are_read_as_the_error_says(tmp_path: Path) -> None:
    folder = masks(tmp_path / "own", [[0, 255]], [[0, 0, 255]], "classes: {0: background, 255: road}\n")
    manifest = prepared(folder)
    assert manifest["splits"]["train"]["class_frequencies"] == {"background": 0.5, "road": 0.5}
    assert "notes" not in manifest
    dataset, [sample] = samples(tmp_path / "data.json", "val")
    assert read_sample(sample, dataset)[1][0].tolist() == [0] * 8 + [1] * 4
    (folder / "classes.yaml").write_text("classes: [background, road]\nignored: [255]\n")
    asked = prepared(folder)
    assert asked["splits"]["train"]["ignored"] == 0.5
    assert asked["notes"] == ["split train: no pixel is of class 'road'", "split val: no pixel is of class 'road'"]


def test_what_nobody_asked_to_ignore_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = masks(tmp_path / "own", [[0, 1, 255]], [[0, 1]], "classes: [background, road]\n")
    manifest = prepared(folder)
    [note] = manifest["notes"]
    assert note.startswith("split train: 33.3% of the pixels are ignored: they have the value 255, which classes.yaml")
    assert f"note: {note}" in capsys.readouterr().out
    sheet = data_sheet(tmp_path / "data.json")
    assert sheet.notes == [note]
    assert ["split train", "1 images, 33.3% of the pixels ignored"] in sheet.rows


def test_a_few_ignored_pixels_are_no_note(tmp_path: Path) -> None:
    folder = masks(tmp_path / "own", [[0, 1] * 6, [0] * 11 + [1], [0] * 11 + [255]], [[0, 1]], "classes: [a, b]\n")
    assert "notes" not in prepared(folder)


def test_classes_without_a_pixel_and_empty_label_maps_are_named(tmp_path: Path) -> None:
    folder = masks(tmp_path / "own", [[0, 1, 2], [255]], [[0, 2]], "classes: [a, b, c]\nignored: [255]\n")
    assert prepared(folder)["notes"] == [
        "split train: 1 of 2 label maps have no labelled pixel: labels/train/1.png",
        "split val: no pixel is of class 'b'",
    ]


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("ignored", ["", "ignored: [255]\n", "ignored: [254, 255]\n"])
def test_a_split_without_labels_is_refused(tmp_path: Path, split: str, ignored: str) -> None:
    splits = {"train": [[0, 1]], "val": [[0, 1]]} | {split: [[255], [255, 255]]}
    folder = masks(tmp_path / "own", **splits, classes=f"classes: [a, b]\n{ignored}")
    line = refused(folder)
    assert f"{folder}: no pixel of split {split!r} is labelled" in line
    assert f"labels/{split}/0.png, labels/{split}/1.png" in line


def test_values_that_no_class_names_are_counted(tmp_path: Path) -> None:
    folder = masks(tmp_path / "own", [[0, 7, 9, 9]], [[0]], "classes: [a, b]\n")
    line = refused(folder)
    assert "labels/train/0.png: label value 7 is no class of folder (" in line
    assert "pixels: 24 of value 7, 48 of value 9; list it in" in line


ENDINGS = [".tif", ".tiff", ".bmp", ".webp", ".jpeg", ".gif", ".PNG", ".JPG", ".Tif"]


@pytest.mark.parametrize("ending", first(ENDINGS))
def test_images_of_any_ending_are_read(tmp_path: Path, ending: str) -> None:
    folder = masks(tmp_path / "own", [[0], [0]], [[0]], "classes: [a, b]\n")
    image = folder / "images/train/1.png"
    Image.open(image).save(image.with_suffix(ending))
    image.unlink()
    assert prepared(folder)["splits"]["train"]["images"] == 2


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    folder = masks(tmp_path / "own", [[0, 1]], [[0, 1]], "classes: [a, b]\n")
    (folder / "images/train/._0.png").write_bytes(b"notes of a file system")
    (folder / "images/train/.ipynb_checkpoints").mkdir()
    (folder / "images/train/.ipynb_checkpoints/0-checkpoint.png").write_bytes(b"a copy")
    manifest = prepared(folder)
    assert manifest["splits"]["train"]["images"] == 1
    assert "notes" not in manifest


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    folder = masks(tmp_path / "own", [[0, 1]], [[0, 1]], "classes: [a, b]\n")
    (folder / "images/train/1.heic").write_bytes(b"")
    [note] = prepared(folder)["notes"]
    assert note.startswith("split train: left out, for images end in .png, .jpg, ")
    assert note.endswith(": images/train/1.heic")
    for image in folder.glob("images/val/*.png"):
        image.rename(image.with_suffix(".npy"))
    (tmp_path / "data.json").unlink()
    assert "images/val: holds no images of dataset folder (names that end in .png, .jpg, " in refused(folder)


def test_two_images_with_one_label_map_are_refused(tmp_path: Path) -> None:
    folder = masks(tmp_path / "own", [[0]], [[0]], "classes: [a, b]\n")
    Image.open(folder / "images/train/0.png").save(folder / "images/train/0.bmp")
    line = refused(folder)
    assert "0.bmp" in line and f"both have the label {folder / 'labels/train/0.png'}; rename or remove one" in line
