"""Shared patches: 2 x 2 neighbours whose pixels look alike share one token in all blocks.

After the description of CTS (Lu et al., "Content-aware Token Sharing for Efficient Semantic Segmentation with Vision
Transformers", CVPR 2023): the same number of squares of every image share a token, that of their pixels resized to one
patch, and it is copied to their places before the decoder. CTS trains a network that says which squares hold one
class; to take the squares with the smallest gradients, which needs no training, is ours.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paumer.strategies.contract import Network, Strategy
from paumer.strategies.families import Family
from paumer.strategies.merge import squares_of
from paumer.strategies.merged_tokens import merge
from paumer.strategies.notation import DECIMALS, Parameters, read_portion
from paumer.system.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from paumer.strategies.state import State
else:
    torch = lazy("torch")

SOBEL = ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0))


@dataclass(frozen=True)
class Share(Parameters):
    """How many of the squares of 2 x 2 patches share a token, written `share:0.4`; that saves three quarters of it."""

    fraction: float

    def __str__(self) -> str:
        """The notation."""
        return f"share:{self.fraction:.{DECIMALS}g}"

    @property
    def blocks(self) -> tuple[int, ...]:
        """Before the first block."""
        return (0,)

    def at(self, block: int) -> Hashable:
        """The fraction, before the first block."""
        return self.fraction if block == 0 else None


def parse_share(text: str) -> Share:
    """Read the fraction of the squares."""
    return Share(read_portion(text, "share", "share:0.4"))


class SharedPatches(Strategy):
    """Before the first block the squares of 2 x 2 patches with the smallest gradients get one token each.

    Fractions are of the whole squares of the image; a last odd row or column takes no part.
    """

    name = "shared-patches"
    description = "2 x 2 neighbours with few edges share a token in all blocks (after CTS, without its policy network)"
    examples = ("share:0.4",)
    recipes = ("dense",)
    needs_full_grid = True

    parameters: Share
    parse = staticmethod(parse_share)

    @classmethod
    def families(cls, heads: Sequence[int], depth: int) -> tuple[Family, ...]:
        """Any share of the squares."""
        return (Family("share:{}", most=1.0),)

    def before_blocks(self, network: Network, tokens: Tensor, state: State) -> Tensor:
        """Share tokens; returns prefix and the tokens of squares and of the other patches."""
        assert state.pixels is not None
        squares = squares_of(state.grid, tokens.device)
        count = round(self.parameters.fraction * len(squares))
        if count == 0:
            return tokens
        rows, columns = state.grid[0] // 2, state.grid[1] // 2
        patch = state.pixels.shape[-1] // state.grid[1]
        whole = state.pixels[..., : 2 * rows * patch, : 2 * columns * patch]
        half = torch.nn.functional.avg_pool2d(whole, 2)
        state.add_macs(lambda: gradient_macs(half))
        chosen = roughness(half, patch).topk(count, dim=1, largest=False, sorted=False).indices
        shared = network.embed_squares(half, state)
        index = chosen.unsqueeze(-1).expand(-1, -1, tokens.shape[-1])
        members = squares[chosen]
        everywhere = (state.prefix + members).flatten(1).unsqueeze(-1).expand(-1, -1, tokens.shape[-1])
        tokens = tokens.scatter(1, everywhere, shared.gather(1, index).repeat_interleave(4, dim=1))
        gone, corner = members[..., 1:].flatten(1), members[..., :1].expand(-1, -1, 3).flatten(1)
        return merge(tokens, gone, corner, state, self.name, proportional=False)


def roughness(pixels: Tensor, patch: int) -> Tensor:
    """Mean squared gradient of the colours in every patch.

    Args:
        pixels: (batch, channels, height, width), sides multiples of `patch`.
        patch: side of a patch.

    Returns:
        (batch, patches), row by row.
    """
    channels = pixels.shape[1]
    across = torch.tensor(SOBEL, dtype=pixels.dtype, device=pixels.device) / 8
    kernels = torch.stack([across, across.T]).unsqueeze(1).repeat(channels, 1, 1, 1)
    padded = torch.nn.functional.pad(pixels, (1, 1, 1, 1), mode="replicate")
    with torch.autocast(pixels.device.type, enabled=False):
        gradients = torch.nn.functional.conv2d(padded, kernels, groups=channels)
    return torch.nn.functional.avg_pool2d(gradients.square().mean(dim=1, keepdim=True), patch).flatten(1)


def gradient_macs(pixels: Tensor) -> float:
    """Multiply-accumulates of `roughness` for one image: 3 x 3 for both directions."""
    return 2 * 9 * pixels[0].numel()
