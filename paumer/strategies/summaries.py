"""Summary tokens: what paused patches leave behind, so that the running ones still see what is there. Ours."""

from dataclasses import dataclass, replace
from typing import Self

from torch import Tensor
from torch.nn import functional

from paumer.strategies.places import Places

EMPTY = 1e-6  # the size by which a window without paused patches counts: next to nothing, and its logarithm is finite


@dataclass(frozen=True)
class Summaries:
    """One token a window of the grid: the mean of the patches that have paused there.

    Attributes:
        windows: windows along height and width.
        sizes: how many patches each token stands for, (images, tokens).
    """

    windows: tuple[int, int]
    sizes: Tensor

    @classmethod
    def none(cls, windows: tuple[int, int], images: int, like: Tensor) -> Self:
        """Those of images in which no patch has paused yet."""
        return cls(windows, like.new_zeros(images, windows[0] * windows[1]))

    @property
    def count(self) -> int:
        """Tokens of an image."""
        return self.windows[0] * self.windows[1]

    @property
    def bias(self) -> Tensor:
        """What attention adds to its logits for them, (images, tokens), so that they count by their sizes."""
        return self.sizes.clamp(min=EMPTY).log()

    def add(self, tokens: Tensor | None, patches: Tensor, weights: Tensor, places: Places) -> tuple[Tensor, Self]:
        """Let patches pause.

        Args:
            tokens: the summary tokens so far, (images, tokens, width); None where there are none.
            patches: the running patches, (batch, running, width).
            weights: how much each counts that pauses, zero for those that go on, (batch, running).
            places: where they lie.

        Returns:
            The summary tokens then, and what they stand for.
        """
        images, slots, count = len(self.sizes), places.windows(*self.windows, patches.device), self.count
        if len(patches) < images and places.images_of is not None:  # of different lengths, one after the other
            slots, count = slots + places.images_of * count, count * images
        shares = functional.one_hot(slots, count).to(patches.dtype) * weights.unsqueeze(-1)
        sums = (shares.transpose(1, 2) @ patches).view(images, self.count, -1)
        sizes = self.sizes + shares.sum(dim=1).view_as(self.sizes)
        if tokens is not None:
            sums = sums + tokens * self.sizes.unsqueeze(-1)
        return sums / sizes.clamp(min=1).unsqueeze(-1), replace(self, sizes=sizes)
