"""What strategies ask of auxiliary heads, whoever builds them."""

from typing import Protocol

from torch import Tensor

from paumer.strategies.places import Places

Count = float | Tensor  # of every image the same, or (batch,) one for each


def scale_gradient(values: Tensor, share: float) -> Tensor:
    """The same values, through which a share of the gradient flows back."""
    if share == 0:
        return values.detach()
    return values if share == 1 else values.detach() + share * (values - values.detach())


class Carrier(Protocol):
    """From intermediate patches (batch, patches, width) to such as the decoder can read."""

    def __call__(self, patches: Tensor, places: Places) -> Tensor:
        """Adapt."""

    def macs(self, patches: Count, everywhere: int) -> Count:
        """Multiply-accumulates of one image of so many patches, on a grid of `everywhere` patches."""


class Head(Protocol):
    """From adapted patches (batch, patches, width) to logits (batch, patches, cells, classes).

    Attributes:
        sub_patch: cells along the side of a patch.
        adapter: what adapts patches to it; None: they are read as they are.
    """

    sub_patch: int

    @property
    def adapter(self) -> Carrier | None:
        """What adapts patches to it."""

    def __call__(self, patches: Tensor) -> Tensor:
        """Predict."""

    def macs(self, patches: Count) -> Count:
        """Multiply-accumulates of one image of so many patches; of each image, where there are several counts."""
