"""Images and label maps that mean harm, are damaged, or are merely exotic: read as people see them, or one line."""

import os
from pathlib import Path

import numpy as np
import pytest
from hostile import NO_PLAIN_FILES, grey_png, no_plain_files, png_that_declares, refusal, saved
from PIL import Image
from stage import Stage
from tiers import first

from paumer.data.images import read_rgb, stored_size

HEIGHT, WIDTH = 6, 10
RED, GREY = (200, 30, 40), 120
LABEL = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 3).astype(np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


class Own(Stage):
    """Data of one's own with one image in each split."""

    def __init__(self, folder: Path, name: str = "a") -> None:
        super().__init__(folder)
        self.image, self.label = folder / f"images/train/{name}.png", folder / f"labels/train/{name}.png"
        for split in ("train", "val"):
            for kind, pixels in (("images", NOISE), ("labels", LABEL)):
                (folder / kind / split).mkdir(parents=True)
                Image.fromarray(pixels).save(folder / kind / split / f"{name}.png")
        (folder / "classes.yaml").write_text("classes: [a, b, c]\nignored: [254, 255]\n")

    def one(self) -> tuple[np.ndarray, np.ndarray]:
        """The training image and its label map."""
        [found] = self.read()
        return found


@pytest.fixture
def own(tmp_path: Path) -> Own:
    return Own(tmp_path / "own")


def plain(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (WIDTH, HEIGHT), colour)


def palette() -> Image.Image:
    image = plain("P", 0)
    image.putpalette([*RED, 0, 0, 0])
    return image


# Images that are exotic, and the one colour that people see in them.
EXOTIC: dict[str, tuple[bytes, tuple[int, int, int]]] = {
    "grey": (saved(plain("L", GREY), "png"), (GREY,) * 3),
    "one bit": (saved(plain("1", 1), "png"), (255,) * 3),
    "palette": (saved(palette(), "png"), RED),
    "palette with a hidden colour": (saved(palette(), "png", transparency=0), (255,) * 3),
    "opaque": (saved(plain("RGBA", (*RED, 255)), "png"), RED),
    "transparent": (saved(plain("RGBA", (*RED, 0)), "png"), (255,) * 3),
    "half transparent": (saved(plain("RGBA", (0, 0, 0, 128)), "png"), (127,) * 3),
    "grey and transparent": (saved(plain("LA", (GREY, 0)), "png"), (255,) * 3),
    "16 bits": (saved(Image.fromarray(np.full((HEIGHT, WIDTH), GREY * 257, np.uint16)), "png"), (GREY,) * 3),
    "16 bits in TIFF": (saved(Image.fromarray(np.full((HEIGHT, WIDTH), GREY * 257, np.uint16)), "tiff"), (GREY,) * 3),
    "CMYK": (saved(plain("CMYK", (0, 255, 255, 0)), "tiff"), (255, 0, 0)),
    "animated": (saved(plain("RGB", RED), "png", save_all=True, append_images=[plain("RGB", (0, 0, 0))]), RED),
    "animated GIF": (saved(plain("RGB", RED), "gif", save_all=True, append_images=[plain("RGB", (0, 0, 0))]), RED),
    "several in one TIFF": (saved(plain("RGB", RED), "tiff", save_all=True, append_images=[plain("L", 0)]), RED),
    "lossless WebP": (saved(plain("RGB", RED), "webp", lossless=True), RED),
    "bitmap": (saved(plain("RGB", RED), "bmp"), RED),
}


@pytest.mark.parametrize("name", EXOTIC)
def test_exotic_images_are_read_as_people_see_them(own: Own, name: str) -> None:
    content, colour = EXOTIC[name]
    own.image.write_bytes(content)
    image, label = own.one()
    assert image.dtype == np.uint8
    assert (image == colour).all()
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert np.array_equal(label, LABEL)


FLOAT = Image.fromarray(np.full((HEIGHT, WIDTH), 0.5, np.float32))
LARGE = np.random.default_rng(1).integers(0, 3, (120, 200), dtype=np.uint8)  # of more than one block of a file
TRUNCATED = saved(Image.fromarray(LARGE), "png")[:2000]
BAD_IMAGES: dict[str, tuple[bytes, str]] = {
    "a bomb of 10**10 pixels": (png_that_declares(100_000, 100_000), "more than 89478485 pixels"),
    "a bomb of a little more": (png_that_declares(10_000, 10_000), "more than 89478485 pixels"),
    "a bomb beyond 2**31": (png_that_declares(2**31 - 1, 2**31 - 1), "more than 89478485 pixels"),
    "less than it declares": (png_that_declares(1000, 1000), "cannot be read as an image"),
    "no pixel": (png_that_declares(0, 0), "cannot be read as an image"),
    "an empty file": (b"", "cannot be read as an image"),
    "text": (b"not an image", "cannot be read as an image"),
    "truncated": (TRUNCATED, "cannot be read as an image"),
    "a program (EPS)": (saved(plain("RGB", RED), "eps"), "cannot be read as an image"),
    "real numbers": (saved(FLOAT, "tiff"), "mode F are no colours"),
    "32 bits": (saved(Image.fromarray(np.full((HEIGHT, WIDTH), 70_000, np.int32)), "tiff"), "beyond 16 bits"),
    "another size": (saved(Image.new("RGB", (WIDTH, HEIGHT + 1)), "png"), "they must be of one size"),
}


def test_who_trusts_a_large_image_raises_the_limit(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # twice as many are an error of Pillow
    monkeypatch.setenv("PAUMER_MAX_PIXELS", "59")
    assert "more than 59 pixels; cut it into parts, or set PAUMER_MAX_PIXELS" in own.refusal()
    monkeypatch.setenv("PAUMER_MAX_PIXELS", "60")
    assert np.array_equal(own.one()[0], NOISE)


@pytest.mark.parametrize("text", ["many", "0", "-1", "1e9", "9" * 30 + "x"])
def test_limits_that_are_none_are_refused(own: Own, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PAUMER_MAX_PIXELS", text)
    assert own.refusal().startswith("PAUMER_MAX_PIXELS: ")


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, about what is damaged
@pytest.mark.parametrize("seed", first(range(100), 14))
def test_damaged_images_are_read_or_refused(tmp_path: Path, seed: int) -> None:
    """Some bytes are changed, or the end is cut off; whatever the decoder raises, it is one line."""
    draw = np.random.default_rng(seed)
    form = ("png", "jpeg", "tiff", "webp", "gif", "bmp", "ppm")[seed % 7]
    content = bytearray(saved(Image.fromarray(NOISE), form))
    for place in draw.integers(0, len(content), int(draw.integers(1, 12))):
        content[place] = draw.integers(0, 256)
    path = tmp_path / "a.png"
    path.write_bytes(content[: int(draw.integers(0, 2 * len(content)))])
    try:
        assert read_rgb(path)[0].ndim == 3
    except Exception:
        assert "a.png" in refusal(read_rgb, path)


# Label maps


@pytest.mark.parametrize(("value", "read"), {0: 0, 2: 2, 254: 255, 255: 255, 3: None, 253: None}.items())
def test_values_of_a_label_map(own: Own, value: int, read: int | None) -> None:
    """Classes 0 to 2, ignored 254 and 255; all others are refused by name."""
    label = LABEL.copy()
    label[2, 3] = value
    Image.fromarray(label).save(own.label)
    if read is None:
        assert f"labels/train/a.png: label value {value} is no class" in own.refusal()
    else:
        assert own.one()[1][2, 3] == read


def indexed(values: np.ndarray) -> Image.Image:
    image = Image.fromarray(values, "P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    return image


BITS = (np.arange(HEIGHT * 16).reshape(HEIGHT, 16) % 2).astype(np.uint8)
NUMBERS = {
    "palette": saved(indexed(LABEL), "png"),
    "palette of few bits": saved(indexed(LABEL), "png", bits=2),
    "16 bits": saved(Image.fromarray(LABEL.astype(np.uint16)), "png"),
    "32 bits in TIFF": saved(Image.fromarray(LABEL.astype(np.int32)), "tiff"),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_any_width_are_labels(own: Own, name: str) -> None:
    own.label.write_bytes(NUMBERS[name])
    assert np.array_equal(own.one()[1], LABEL)


def test_a_mask_of_one_bit_has_two_classes(own: Own) -> None:
    own.label.write_bytes(grey_png(BITS, 1))
    Image.new("RGB", BITS.shape[::-1]).save(own.image)
    assert np.array_equal(own.one()[1], BITS)


BAD_LABELS: dict[str, tuple[bytes, str]] = {
    "colours": (saved(Image.fromarray(NOISE), "png"), "not mode RGB"),
    "grey in three channels": (saved(Image.fromarray(np.repeat(LABEL[..., None], 3, 2)), "png"), "not mode RGB"),
    "transparency": (saved(Image.fromarray(LABEL).convert("LA"), "png"), "not mode LA"),
    "CMYK": (saved(plain("CMYK", (0, 0, 0, 0)), "tiff"), "not mode CMYK"),
    "real numbers": (saved(FLOAT, "tiff"), "not mode F"),
    "4 bits, which Pillow spreads": (grey_png(LABEL, 4), "not 4 bits"),
    "2 bits, which Pillow spreads": (grey_png(BITS, 2), "not 2 bits"),
    "a JPEG": (saved(Image.fromarray(LABEL), "jpeg"), "may change values"),
    "16 bits beyond 8": (saved(Image.fromarray(LABEL.astype(np.uint16) + 300), "png"), "label value 300 is beyond"),
    "numbers below 0": (saved(Image.fromarray(LABEL.astype(np.int32) - 1), "tiff"), "label value -1 is beyond"),
    "another size": (saved(Image.new("L", (WIDTH, HEIGHT + 1)), "png"), "they must be of one size"),
    "a bomb": (png_that_declares(100_000, 100_000), "more than 89478485 pixels"),
    "truncated": (TRUNCATED, "cannot be read as an image"),
}


BAD = {"image": BAD_IMAGES, "label": BAD_LABELS}


@pytest.mark.parametrize(("which", "name"), [(which, name) for which, cases in BAD.items() for name in cases])
def test_bad_files_are_refused(own: Own, which: str, name: str) -> None:
    content, problem = BAD[which][name]
    getattr(own, which).write_bytes(content)
    line = own.refusal()
    assert problem in line
    assert "train/a.png" in line


# Orientation: what a camera noted


def noted(pixels: np.ndarray, turn: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = turn
    return saved(Image.fromarray(pixels), "png", exif=exif)


@pytest.mark.parametrize("turn", [2, 6])
def test_turned_images_are_read_upright_but_not_beside_a_label(own: Own, turn: int) -> None:
    own.image.write_bytes(noted(NOISE, turn))
    upright = {2: NOISE[:, ::-1], 6: np.rot90(NOISE, -1)}[turn]
    assert np.array_equal(read_rgb(own.image)[0], upright)
    assert f"its EXIF orientation is {turn}, and nothing tells whether its label" in own.refusal()


@pytest.mark.parametrize("turn", [0, 1, 9, 65535])
def test_orientations_that_are_none_turn_nothing(own: Own, turn: int) -> None:
    own.image.write_bytes(noted(NOISE, turn))
    assert np.array_equal(own.one()[0], NOISE)
    assert stored_size(own.image) == (HEIGHT, WIDTH)


# Names and places

NAMES = [
    *("ü 图像 🚲", "{a}", "-a", "a\nb", "$(touch evil)", "a'b\"c", "x" * 240, os.fsdecode(b"\xff\xfe")),
    *("图" * 80, "a b", "--help", "a\tb", "%s"),
]


@pytest.mark.parametrize("name", first(NAMES, 8))
def test_names_may_hold_anything(tmp_path: Path, name: str) -> None:
    own = Own(tmp_path / "own", name)
    assert np.array_equal(own.one()[1], LABEL)
    own.label.write_bytes(b"")
    own.manifest.unlink()
    assert "cannot be read as an image" in own.refusal()


def test_paths_may_be_long(tmp_path: Path) -> None:
    deep = Path(*["folder" * 8] * 30)
    assert len(str(deep)) > 1400
    own = Own(tmp_path / "own")
    for kind, path in (("images", own.image), ("labels", own.label)):
        (own.folder / kind / "train" / deep).mkdir(parents=True)
        path.rename(own.folder / kind / "train" / deep / "a.png")
    assert np.array_equal(own.one()[0], NOISE)


@pytest.mark.parametrize("kind", NO_PLAIN_FILES)
@pytest.mark.parametrize("which", ["image", "label"])
def test_what_is_no_file_is_refused(own: Own, kind: str, which: str) -> None:
    path: Path = getattr(own, which)
    path.unlink()
    no_plain_files(path)[kind]()
    assert f"{which}s/train" in own.refusal()


def test_links_to_files_elsewhere_are_followed(own: Own, tmp_path: Path) -> None:
    for path in (own.image, own.label):
        path.rename(tmp_path / f"{path.parts[-3]}.png")
        path.symlink_to(tmp_path / f"{path.parts[-3]}.png")
    assert np.array_equal(own.one()[1], LABEL)


@pytest.mark.parametrize("target", ["../../..", "/"])
def test_links_to_folders_are_refused(own: Own, target: str) -> None:
    (own.image.parent / "more").symlink_to(target)
    assert "images/train/more: links to a folder, which is not followed" in own.refusal()
