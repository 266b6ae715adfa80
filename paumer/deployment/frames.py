"""Frames in their order: a folder of images, or a video, read and written by PyAV."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paumer.data.images import LIMIT, max_pixels
from paumer.deployment.images import find_images, read_picture
from paumer.system.errors import PaumerError, summary
from paumer.system.files import writing

VIDEOS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi")
CODEC, PIXELS = "libx264", "yuv420p"  # what every player shows; its colours are of two by two pixels
DIGITS = 6  # in the names of a video's frames


def is_video(source: Path) -> bool:
    """Whether a file is a video, by its ending."""
    return source.suffix.lower() in VIDEOS and not source.is_dir()


class Frames:
    """The frames of a folder of images, sorted by name, or of a video.

    Iterating gives the name of each, as a path relative to `root`, and its pixels (3, height, width) uint8. What cannot
    be read is left out and noted.

    Attributes:
        root: the folder that names are relative to.
        names: of the images; of a video none are known beforehand.
        total: how many frames there are; None where the video does not tell.
        failed: why frames could not be read.

    Raises:
        PaumerError: there are none.
    """

    def __init__(self, source: Path) -> None:
        self.source, self.is_video, self.failed = source, is_video(source), list[str]()
        if self.is_video:
            self.root, self.names = Path(), list[Path]()
            with _opened(source) as container:
                self.total: int | None = container.streams.video[0].frames or None
                self.rate = container.streams.video[0].average_rate or Fraction(25)
        else:
            self.root, self.names = find_images(source)
            self.total = len(self.names)

    def __iter__(self) -> Iterator[tuple[Path, Tensor]]:
        """The frames, each with its name."""
        return self._of_video() if self.is_video else self._of_images()

    def _of_images(self) -> Iterator[tuple[Path, Tensor]]:
        for path in self.names:
            try:
                picture = read_picture(path)
            except PaumerError as error:
                self.failed.append(str(error))
            else:
                yield path, picture

    def _of_video(self) -> Iterator[tuple[Path, Tensor]]:
        number = 0
        try:
            with _opened(self.source) as container:
                for number, frame in enumerate(container.decode(video=0), start=1):
                    upright = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
                    pixels = torch.from_numpy(np.ascontiguousarray(upright.transpose(2, 0, 1)))
                    yield Path(f"{number:0{DIGITS}d}.png"), pixels
        except PaumerError as error:
            self.failed.append(f"{error} (after {number} frames)")


@contextmanager
def video_writer(path: Path, rate: Fraction) -> Iterator["VideoWriter"]:
    """Yield a writer of a video, which is written whole or not at all."""
    with writing(path) as temporary, _av().open(str(temporary), "w") as container:
        writer = VideoWriter(container, rate)
        yield writer
        writer.end()


class VideoWriter:
    """Writes frames of the size of the first one into a video."""

    def __init__(self, container: Any, rate: Fraction) -> None:
        self.container, self.rate = container, rate
        self.stream: Any = None

    def add(self, pixels: np.ndarray) -> None:
        """Add a frame, (height, width, 3) uint8; an odd last row or column is left out."""
        height, width = (side // 2 * 2 for side in pixels.shape[:2])
        if self.stream is None:
            self.stream = self.container.add_stream(CODEC, rate=self.rate)
            self.stream.height, self.stream.width, self.stream.pix_fmt = height, width, PIXELS
        frame = _av().VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), format="rgb24")
        self.container.mux(self.stream.encode(frame))

    def end(self) -> None:
        """Write what the encoder still holds."""
        if self.stream is not None:
            self.container.mux(self.stream.encode())


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a video; what is wrong with it, also while it is read, becomes one line.

    Raises:
        PaumerError: it is missing, damaged, too large or none, or PyAV is not installed.
    """
    av = _av()
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise PaumerError(f"{path}: holds no pictures; name a video")
            context = container.streams.video[0].codec_context
            if context.width * context.height > max_pixels():
                raise PaumerError(
                    f"{path}: {context.width} x {context.height} pixels are more than {max_pixels()}; set {LIMIT} to "
                    "allow them"
                )
            yield container
    except (av.error.FFmpegError, OSError) as error:
        raise PaumerError(f"{path}: not readable as a video ({summary(error)}); replace it") from None


def _av() -> Any:
    """PyAV.

    Raises:
        PaumerError: it is not installed.
    """
    try:
        import av
        import av.error
    except ImportError:
        raise PaumerError(
            "PyAV, which reads and writes videos, is not installed; pip install 'paumer[video]', or name a folder of "
            "images"
        ) from None
    return av
