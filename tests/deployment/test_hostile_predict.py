"""`paumer predict` on a folder where some images mean harm: the others are predicted, and the bad ones are named."""

import os
from pathlib import Path

import numpy as np
from command_line import CommandLine
from finished_runs import write_run
from hostile import files, png_that_declares, refusal
from PIL import Image

from paumer.deployment.images import find_images

GOOD = ["a.png", "ü 图像.png", "-b.png", "x" * 240 + ".png", "a b\nc.png"]
BAD = ["bomb.png", "cut.png", "nowhere.png", "pipe.png"]


def test_bad_images_cost_no_good_ones(tmp_path: Path, command_line: CommandLine) -> None:
    run, photos, output = write_run(tmp_path / "scenes"), tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    for name in GOOD:
        Image.fromarray(pixels).save(photos / name)
    (photos / "bomb.png").write_bytes(png_that_declares(100_000, 100_000))
    (photos / "cut.png").write_bytes((photos / "a.png").read_bytes()[:2000])
    (photos / "nowhere.png").symlink_to("nothing")
    os.mkfifo(photos / "pipe.png")
    arguments = ("predict", run, "-i", photos, "-o", output, "--format", "ids", "--device", "cpu", "--threads", 1)
    line = command_line.refuse(*arguments)
    assert f"{len(BAD)} of {len(BAD) + len(GOOD)} images were not predicted: " in line
    assert "bomb.png: has more than 89478485 pixels" in line
    assert files(output) == {"ids", "predict.json", *(f"ids/{name}" for name in GOOD)}
    before = {name: (output / "ids" / name).stat().st_mtime_ns for name in GOOD}
    (photos / "a.png").unlink()
    (photos / "a.png").symlink_to("nothing")
    assert f"{len(BAD) + 1} of {len(BAD) + 1} images" in command_line.refuse(*arguments)
    assert {name: (output / "ids" / name).stat().st_mtime_ns for name in GOOD} == before


def test_a_folder_that_is_a_link_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/more").symlink_to(tmp_path)
    assert "photos/more: links to a folder" in refusal(find_images, tmp_path / "photos")
