"""Images of different lengths in one sequence, without padding."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Where each image lies in a sequence (1, tokens of all images, width): one after the other, its prefix first.

    Attributes:
        lengths: tokens of each image, its prefix included.
        images: the image of every token, (tokens,).
        patches: the places of the tokens that are patches, (patches of all images,).
    """

    lengths: tuple[int, ...]
    images: Tensor
    patches: Tensor

    @classmethod
    def even(cls, batch: int, length: int, prefix: int, device: torch.device) -> Self:
        """The packing of a rectangular batch, (batch, length, width), with its first two dimensions made one."""
        images = torch.arange(batch, device=device).repeat_interleave(length)
        places = torch.arange(batch * length, device=device)
        return cls((length,) * batch, images, places[places % length >= prefix])

    def keep(self, chosen: Tensor, prefix: int) -> tuple[Tensor, "Packing"]:
        """Go on with the prefixes and some of the patches.

        Args:
            chosen: (patches of all images,), True for those that go on.
            prefix: tokens of every image before its patches.

        Returns:
            The rows of the tokens that go on, and their packing.
        """
        going = torch.ones_like(self.images, dtype=torch.bool).index_copy(0, self.patches, chosen)
        rows = going.nonzero().squeeze(1)
        images = self.images[rows]
        are_patches = torch.zeros_like(going).index_fill(0, self.patches, True)[rows]
        lengths = images.bincount(minlength=len(self.lengths)).tolist()
        return rows, Packing(tuple(lengths), images, are_patches.nonzero().squeeze(1))
