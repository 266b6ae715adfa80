"""What stage `data` says of a split that is read without an error, and may not be what was meant."""

from pathlib import Path

import pytest
from miniature import masks
from PIL import Image
from stage import Stage
from tiers import first

from paumer.reporting.page.provenance import data_sheet


def own(tmp_path: Path, train: list[list[int]], val: list[list[int]], classes: str) -> Stage:
    return Stage(masks(tmp_path / "own", train, val, classes))


@pytest.mark.parametrize("classes", ["[background, road]", "{0: background, 1: road}", "[a, b, c]"])
def test_masks_of_0_and_255_are_not_ignored_in_silence(tmp_path: Path, classes: str) -> None:
    stage = own(tmp_path, [[0, 255]], [[255, 0]], f"classes: {classes}\n")
    line = stage.refusal()
    assert f"{stage.folder}: label maps of split 'train' hold the values 0 and 255 alone" in line
    assert "if it is a class, write classes: {0: " in line and ", 255: " in line
    assert line.endswith("ignored: [255]")
    if "road" in classes:
        assert "{0: background, 255: road}" in line


def test_masks_of_0_and_255_are_read_as_the_error_says(tmp_path: Path) -> None:
    stage = own(tmp_path, [[0, 255]], [[0, 0, 255]], "classes: {0: background, 255: road}\n")
    manifest = stage.prepare()
    assert manifest["splits"]["train"]["class_frequencies"] == {"background": 0.5, "road": 0.5}
    assert "notes" not in manifest
    [(_, label)] = stage.read("val")
    assert label[0].tolist() == [0] * 8 + [1] * 4
    (stage.folder / "classes.yaml").write_text("classes: [background, road]\nignored: [255]\n")
    asked = stage.prepare()
    assert asked["splits"]["train"]["ignored"] == 0.5
    assert asked["notes"] == ["split train: no pixel is of class 'road'", "split val: no pixel is of class 'road'"]


def test_what_nobody_asked_to_ignore_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = own(tmp_path, [[0, 1, 255]], [[0, 1]], "classes: [background, road]\n")
    manifest = stage.prepare()
    [note] = manifest["notes"]
    assert note.startswith("split train: 33.3% of the pixels are ignored: they have the value 255, which classes.yaml")
    assert f"note: {note}" in capsys.readouterr().out
    sheet = data_sheet(stage.manifest)
    assert sheet.notes == [note]
    assert ["split train", "1 images, 33.3% of the pixels ignored"] in sheet.rows


def test_a_few_ignored_pixels_are_no_note(tmp_path: Path) -> None:
    stage = own(tmp_path, [[0, 1] * 6, [0] * 11 + [1], [0] * 11 + [255]], [[0, 1]], "classes: [a, b]\n")
    assert "notes" not in stage.prepare()


def test_classes_without_a_pixel_and_empty_label_maps_are_named(tmp_path: Path) -> None:
    stage = own(tmp_path, [[0, 1, 2], [255]], [[0, 2]], "classes: [a, b, c]\nignored: [255]\n")
    assert stage.prepare()["notes"] == [
        "split train: 1 of 2 label maps have no labelled pixel: labels/train/1.png",
        "split val: no pixel is of class 'b'",
    ]


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("ignored", ["", "ignored: [255]\n", "ignored: [254, 255]\n"])
def test_a_split_without_labels_is_refused(tmp_path: Path, split: str, ignored: str) -> None:
    splits = {"train": [[0, 1]], "val": [[0, 1]]} | {split: [[255], [255, 255]]}
    stage = own(tmp_path, **splits, classes=f"classes: [a, b]\n{ignored}")
    line = stage.refusal()
    assert f"{stage.folder}: no pixel of split {split!r} is labelled" in line
    assert f"labels/{split}/0.png, labels/{split}/1.png" in line


def test_values_that_no_class_names_are_counted(tmp_path: Path) -> None:
    stage = own(tmp_path, [[0, 7, 9, 9]], [[0]], "classes: [a, b]\n")
    line = stage.refusal()
    assert "labels/train/0.png: label value 7 is no class of folder (" in line
    assert "pixels: 24 of value 7, 48 of value 9; list it in" in line


ENDINGS = [".tif", ".tiff", ".bmp", ".webp", ".jpeg", ".gif", ".PNG", ".JPG", ".Tif"]


@pytest.mark.parametrize("ending", first(ENDINGS))
def test_images_of_any_ending_are_read(tmp_path: Path, ending: str) -> None:
    stage = own(tmp_path, [[0], [0]], [[0]], "classes: [a, b]\n")
    image = stage.folder / "images/train/1.png"
    Image.open(image).save(image.with_suffix(ending))
    image.unlink()
    assert stage.prepare()["splits"]["train"]["images"] == 2


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    stage = own(tmp_path, [[0, 1]], [[0, 1]], "classes: [a, b]\n")
    (stage.folder / "images/train/._0.png").write_bytes(b"notes of a file system")
    (stage.folder / "images/train/.ipynb_checkpoints").mkdir()
    (stage.folder / "images/train/.ipynb_checkpoints/0-checkpoint.png").write_bytes(b"a copy")
    manifest = stage.prepare()
    assert manifest["splits"]["train"]["images"] == 1
    assert "notes" not in manifest


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    stage = own(tmp_path, [[0, 1]], [[0, 1]], "classes: [a, b]\n")
    (stage.folder / "images/train/1.heic").write_bytes(b"")
    [note] = stage.prepare()["notes"]
    assert note.startswith("split train: left out, for images end in .png, .jpg, ")
    assert note.endswith(": images/train/1.heic")
    for image in stage.folder.glob("images/val/*.png"):
        image.rename(image.with_suffix(".npy"))
    (tmp_path / "data.json").unlink()
    assert "images/val: holds no images of dataset folder (names that end in .png, .jpg, " in stage.refusal()


def test_two_images_with_one_label_map_are_refused(tmp_path: Path) -> None:
    stage = own(tmp_path, [[0]], [[0]], "classes: [a, b]\n")
    Image.open(stage.folder / "images/train/0.png").save(stage.folder / "images/train/0.bmp")
    line = stage.refusal()
    assert "0.bmp" in line
    assert f"both have the label {stage.folder / 'labels/train/0.png'}; rename or remove one" in line
