"""Images as people have them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from paumer.deployment.images import find_images, read_picture
from paumer.system.errors import PaumerError

RED, GREY = (200, 30, 40), 120


def colour_of(path: Path) -> list[int]:
    """The colour of an image of one colour, and that it is read as it should be."""
    picture = read_picture(path)
    assert picture.shape == (3, 6, 10)
    assert picture.dtype == torch.uint8
    assert picture.is_contiguous()
    colours = picture.flatten(1).unique(dim=1)
    assert colours.shape[1] == 1
    return colours[:, 0].tolist()


def plain(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (10, 6), colour)


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("rgb.png", plain("RGB", RED), RED),
        ("grey.png", plain("L", GREY), (GREY,) * 3),
        ("bilevel.png", plain("1", 1), (255,) * 3),
        ("opaque.png", plain("RGBA", (*RED, 255)), RED),
        ("clear.png", plain("RGBA", (*RED, 0)), (255,) * 3),
        ("half.png", plain("RGBA", (0, 0, 0, 128)), (127,) * 3),
        ("grey and clear.png", plain("LA", (GREY, 0)), (255,) * 3),
        ("palette.png", plain("RGB", RED).quantize(4), RED),
        ("cmyk.tif", plain("CMYK", (0, 255, 255, 0)), (255, 0, 0)),
        ("sixteen.png", Image.fromarray(np.full((6, 10), GREY * 257, dtype=np.uint16)), (GREY,) * 3),
        ("thirty-two.tif", Image.fromarray(np.full((6, 10), GREY * 257, dtype=np.int32)), (GREY,) * 3),
    ],
)
def test_every_mode_is_read_as_it_looks(tmp_path, name, image, expected) -> None:
    image.save(tmp_path / name)
    assert colour_of(tmp_path / name) == list(expected)


def test_palette_may_hide_a_colour(tmp_path) -> None:
    image = plain("P", 0)
    image.putpalette([*RED, 0, 0, 0])
    image.save(tmp_path / "hidden.png", transparency=0)
    assert colour_of(tmp_path / "hidden.png") == [255, 255, 255]


def test_of_several_pictures_in_a_file_the_first_is_read(tmp_path) -> None:
    plain("RGB", RED).save(tmp_path / "two.tif", save_all=True, append_images=[plain("RGB", (0, 0, 0))])
    assert colour_of(tmp_path / "two.tif") == list(RED)


@pytest.mark.parametrize(
    ("image", "culprit"),
    [
        (Image.fromarray(np.full((6, 10), 0.5, dtype=np.float32)), "mode F are no colours"),
        (Image.fromarray(np.full((6, 10), 70000, dtype=np.int32)), "beyond 16 bits"),
        (Image.fromarray(np.full((6, 10), -1, dtype=np.int32)), "beyond 16 bits"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path, image, culprit) -> None:
    image.save(tmp_path / "odd.tif")
    with pytest.raises(PaumerError, match=culprit) as caught:
        read_picture(tmp_path / "odd.tif")
    assert str(tmp_path / "odd.tif") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_and_huge_files_are_refused(tmp_path, monkeypatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:6000])
    (tmp_path / "text.png").write_text("no image")
    for name in ("cut.png", "text.png"):
        with pytest.raises(PaumerError, match=f"{name}: cannot be read as an image"):
            read_picture(tmp_path / name)
    with pytest.raises(PaumerError, match="no such file"):
        read_picture(tmp_path / "absent.png")
    plain("RGB", RED).save(tmp_path / "large.png")
    monkeypatch.setenv("PAUMER_MAX_PIXELS", "59")
    with pytest.raises(PaumerError, match="has more than 59 pixels"):
        read_picture(tmp_path / "large.png")
    monkeypatch.setenv("PAUMER_MAX_PIXELS", "60")
    assert colour_of(tmp_path / "large.png") == list(RED)


def test_images_of_a_folder_are_found_at_any_depth(tmp_path) -> None:
    for name in ("b.JPG", "a.png", "deep/er/c.webp", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    root, found = find_images(tmp_path)
    assert root == tmp_path
    assert [str(path.relative_to(tmp_path)) for path in found] == ["a.png", "b.JPG", "deep/er/c.webp"]
    assert find_images(tmp_path / "a.png") == (tmp_path, [tmp_path / "a.png"])
    (tmp_path / "none").mkdir()
    for name, culprit in (("none", "holds no images"), ("nowhere", "no such file or folder")):
        with pytest.raises(PaumerError, match=culprit):
            find_images(tmp_path / name)
