"""`paumer predict --fps`: frames of a folder or a video, and what lies beside their predictions."""

import csv
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

import paumer
from paumer.deployment.frames import Frames, video_writer
from paumer.deployment.images import read_picture

SLOW = 1e-3  # frames a second that any machine reaches


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Frames as images."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, image in enumerate(paumer.scenes(4, seed=2, height=32, width=48).images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Frames of rising grey as a video, one row and column more than whole pairs."""
    path = tmp_path / "video.mp4"
    with video_writer(path, Fraction(10)) as writer:
        for number in range(5):
            writer.add(np.full((33, 49, 3), 40 * number, np.uint8))
    return path


@pytest.fixture
def predict(command, run, tmp_path):
    def call(source: Path, *options: object, fps: float = SLOW) -> tuple[str, str, Path]:
        out = tmp_path / "out"
        return *command("predict", run, "-i", source, "-o", out, "--threads", 1, "--fps", fps, *options), out

    return call


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "frames.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_frames_of_a_folder_get_what_the_table_says(predict, images, run) -> None:
    printed, error, out = predict(images, "--format", "ids", "--format", "overlay")
    assert error == ""
    files = {f"{kind}/{number}.png" for kind in ("ids", "overlay") for number in range(4)}
    assert names(out) == files | {"frames.csv", "frames.png", "predict.json"}
    network, table = paumer.load(run), rows(out)
    assert [row["name"] for row in table] == [f"{number}.png" for number in range(4)]
    assert {row["strategy"] for row in table} == {"dense"} and {row["late"] for row in table} == {"0"}
    for row in table:
        expected = network.segment(read_picture(images / row["name"])).numpy()
        assert (np.asarray(Image.open(out / "ids" / row["name"])) == expected).mean() > 0.999
    assert "4 frames: the network took" in printed and "dense 100.0%" in printed
    assert Image.open(out / "frames.png").size[0] > 1000


def test_a_time_that_nothing_meets_takes_the_fastest_point(predict, images, run) -> None:
    printed, error, out = predict(images, "--format", "ids", fps=1e6)
    assert error == "" and "4 were later than" in printed
    [point] = {(row["schedule"], row["strategy"].replace("dense", "")) for row in rows(out)}
    assert {row["late"] for row in rows(out)} == {"1"}
    expected = paumer.load(run).with_schedule(*point).segment(read_picture(images / "0.png"))
    assert (np.asarray(Image.open(out / "ids" / "0.png")) == expected.numpy()).mean() > 0.999


def test_a_video_comes_back_as_a_video(predict, video, run) -> None:
    _, error, out = predict(video, "--format", "overlay", "--format", "ids")
    assert error == ""
    ids = {f"ids/{number:06d}.png" for number in range(1, 6)}
    assert names(out) == ids | {"overlay.mp4", "frames.csv", "frames.png", "predict.json"}
    with av.open(str(out / "overlay.mp4")) as container:
        assert container.streams.video[0].average_rate == 10
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [picture.shape for picture in pictures] == [(32, 48, 3)] * 5
    palette = np.array(paumer.load(run).description.colours)
    for number, picture in enumerate(pictures):
        classes = np.asarray(Image.open(out / "ids" / f"{number + 1:06d}.png"))
        assert picture.mean() == pytest.approx((0.45 * 40 * number + 0.55 * palette[classes]).mean(), abs=4)


def test_frames_of_a_video_are_those_written_into_it(video) -> None:
    frames = Frames(video)
    pixels = [pixels for _, pixels in frames]
    assert frames.total == 5 and frames.rate == 10
    for number, one in enumerate(pixels):
        assert one.shape == (3, 32, 48) and one.dtype == torch.uint8
        assert (one.float() - 40 * number).abs().max() <= 3


def test_videos_are_turned_upright(tmp_path) -> None:
    path, picture = tmp_path / "turned.mp4", np.zeros((32, 48, 3), np.uint8)
    picture[:, 24:] = 200  # the right half
    with video_writer(path, Fraction(10)) as writer:
        writer.add(picture)
        writer.stream.set_display_rotation(90)
    [(_, upright)] = Frames(path)
    assert upright.shape == (3, 48, 32)
    assert upright[:, :20].min() > 150 > 50 > upright[:, 28:].max()  # counterclockwise: right becomes top


def test_other_runs_do_not_take_the_files_for_theirs(predict, command, images, run) -> None:
    out = predict(images, "--format", "ids")[2]
    again = ("predict", run, "-i", images, "-o", out, "--threads", 1, "--format", "ids")
    assert "finished before" not in command(*again)[0] and "4 of 4 images were finished before" in command(*again)[0]
    predict(images, "--format", "ids")
    assert "finished before" not in command(*again)[0]


def test_damaged_frames_are_named_after_the_others(predict, images, video) -> None:
    (images / "1.png").write_bytes(b"nothing")
    _, error, out = predict(images, "--format", "ids")
    assert "1.png" in error and "the other 3 are in" in error
    assert [row["name"] for row in rows(out)] == ["0.png", "2.png", "3.png"]
    cut = video.with_name("cut.mp4")
    cut.write_bytes(video.read_bytes()[:200])
    _, error, _ = predict(cut)
    assert f"{cut}: not readable as a video" in error


def test_without_the_extra_a_video_is_refused(predict, images, video, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    _, error, out = predict(video)
    assert error.endswith("is not installed; pip install 'paumer[video]', or name a folder of images")
    assert not (out / "frames.csv").exists()
    assert predict(images)[1] == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--schedule", "2:0.4"], "--fps chooses an operating point for every frame; leave --schedule out"),
        (["--pause-maps"], "leave --pause-maps out"),
        (["--compare", "dense,2:0.4"], "leave --compare out"),
        (["--speedup", "2"], "leave --speedup out"),
        (["--fps", "0"], "fps"),
        (["--format", "cityscapes"], "video.mp4: is a video; --format cityscapes needs images"),
    ],
)
def test_options_that_contradict_fps(predict, video, options: list[str], words: str) -> None:
    assert words in predict(video, *options)[1]


def test_a_video_needs_fps_and_pixels_that_fit(command, predict, video, run, tmp_path, monkeypatch) -> None:
    _, error = command("predict", run, "-i", video, "-o", tmp_path / "out")
    assert "video.mp4: is a video; say with --fps" in error
    assert "missing.mp4: not readable as a video" in predict(video.with_name("missing.mp4"))[1]
    monkeypatch.setenv("PAUMER_MAX_PIXELS", "100")
    assert "48 x 32 pixels are more than 100; set PAUMER_MAX_PIXELS" in predict(video)[1]
