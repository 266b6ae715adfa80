"""How one image is looked at: at which sizes, mirrored or not, and in which windows."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from paumer.config import Evaluation, Size
from paumer.data.transforms import scaled_size, short_side_factor
from paumer.models.labels import Rows, source_rows, upsample, upsample_rows

Corner = tuple[int, int]


@dataclass(frozen=True)
class View:
    """Images at one size, perhaps mirrored.

    Attributes:
        size: height and width at which they are seen.
        mirrored: whether left and right are exchanged.
    """

    size: Size
    mirrored: bool = False

    def of(self, images: Tensor) -> Tensor:
        """Images (batch, 3, any height, any width) as they are seen, bilinearly resized with antialiasing."""
        if images.shape[-2:] != self.size:
            images = functional.interpolate(images, self.size, mode="bilinear", antialias=True)
        return images.flip(-1) if self.mirrored else images

    def of_labels(self, labels: Tensor) -> Tensor:
        """Class ids (batch, any height, any width) as they are seen, by the nearest pixel."""
        if labels.shape[-2:] != self.size:
            labels = functional.interpolate(labels[:, None].float(), self.size, mode="nearest")[:, 0].to(labels.dtype)
        return labels.flip(-1) if self.mirrored else labels

    def rows_for(self, size: Size, rows: Rows) -> Rows:
        """The rows of the view that some rows of images of `size` come from."""
        return rows if self.size == size else source_rows(self.size[0], size[0], rows)

    def undone(self, logits: Tensor, size: Size, rows: Rows | None = None) -> Tensor:
        """Logits where they belong in images of `size`, bilinearly resized.

        Args:
            logits: (batch, classes, *self.size), or those of the rows that `rows_for` names.
            size: height and width of the images.
            rows: which rows of the images to give; None: all.
        """
        logits = logits.flip(-1) if self.mirrored else logits
        if self.size == size:
            return logits
        if rows in (None, (0, size[0])):
            return upsample(logits, size)
        return upsample_rows(logits, size, rows, self.size[0], self.rows_for(size, rows)[0])


def views(settings: Evaluation, size: Size) -> list[View]:
    """All views of images of `size` (height, width) that an evaluation averages over."""
    mirrored = (False, True) if settings.flip else (False,)
    return [View(seen_size(settings, size, scale), flip) for scale in settings.scales for flip in mirrored]


def seen_size(settings: Evaluation, size: Sequence[int], scale: float = 1.0) -> Size:
    """Height and width at which an image of `size` is seen: brought to the short side, and times `scale`."""
    factor = 1.0 if settings.short_side is None else short_side_factor(size, settings.short_side)
    return scaled_size(size, factor * scale)


def window_size(settings: Evaluation, size: Size) -> Size:
    """Height and width of one forward pass over an image seen at `size`: all of it, or a window, which is no larger."""
    if settings.inference == "whole":
        return size
    return min(settings.window[0], size[0]), min(settings.window[1], size[1])


def window_corners(size: Size, window: Size, stride: Size) -> list[Corner]:
    """Upper left corners (top, left) of the windows of an image, row by row."""
    return [
        (top, left)
        for top in window_starts(size[0], window[0], stride[0])
        for left in window_starts(size[1], window[1], stride[1])
    ]


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows start along a side; the last one ends at the border."""
    last = max(0, length - window)
    return [*range(0, last, stride), last]
