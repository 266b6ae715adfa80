"""A network from images to tokens, and from logits of patches back to images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from paumer.config.network import Normalization, statistics_of
from paumer.models.encoder import Encoder, Grid
from paumer.models.labels import Rows, balance_classes, class_counts, upsample, upsample_rows, upsampled_labels
from paumer.strategies.contract import Strategy
from paumer.strategies.criteria import BALANCE
from paumer.strategies.state import State
from paumer.strategies.tokens import Head
from paumer.system.errors import PaumerError


@dataclass(frozen=True)
class Output:
    """The output of a sweep for one strategy.

    Attributes:
        logits: at patch resolution, (batch, classes, grid height, grid width), finer where the decoder is.
        macs: multiply-accumulates of each image, (batch,); None unless counted.
    """

    logits: Tensor
    macs: Tensor | None


class EncoderDecoder(nn.Module):
    """An encoder, a decoder and auxiliary heads: what is computed before the blocks and after the decoder.

    Attributes:
        class_weights: how much each class counts in criteria that know them, (classes,); None: unknown.
        mean: subtracted from images of uint8, (3, 1, 1), from 0 to 255; None where it is not known.
        std: what the difference is divided by, likewise.
    """

    class_weights: Tensor | None
    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        encoder: Encoder,
        decoder: nn.Module,
        heads: Mapping[int, nn.Module],
        class_frequencies: Sequence[float],
        normalization: Normalization | None,
    ) -> None:
        super().__init__()
        weights = balance_classes(class_frequencies, BALANCE) if class_frequencies else None
        self.register_buffer("class_weights", weights, persistent=False)
        statistics = None if normalization is None else statistics_of(normalization)
        for name in ("mean", "std"):
            values = None if statistics is None else torch.tensor(getattr(statistics, name)).view(3, 1, 1) * 255
            self.register_buffer(name, values, persistent=False)
        self.encoder, self.decoder = encoder, decoder
        self.heads = nn.ModuleDict({str(block): head for block, head in heads.items()})

    @property
    def blocks(self) -> nn.Sequential:
        """The encoder layers."""
        return self.encoder.blocks

    @property
    def pausing_blocks(self) -> list[int]:
        """The blocks with an auxiliary head that others follow, rising."""
        return sorted(block for block in map(int, self.heads) if block < self.encoder.depth)

    @property
    def splits_blocks(self) -> bool:
        """Whether blocks can run in two halves, attention and feed-forward network."""
        return self.encoder.splits_blocks

    @property
    def sub_patch(self) -> int | None:
        """Cells along the side of a patch that auxiliary heads predict; None where there is no head."""
        return next((cast(Head, head).sub_patch for head in self.heads.values()), None)

    @property
    def classes(self) -> int:
        """The number of classes: two where there is one logit, that of a sigmoid."""
        return max(2, cast(int, self.decoder.classes))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def normalize(self, images: Tensor) -> Tensor:
        """Images (batch, 3, height, width) of uint8 in the type of the weights, minus mean, over standard deviation.

        Images of floating point are returned as they are: whoever resizes images, or times a network, normalises first.

        Raises:
            PaumerError: the statistics are not known, or the network takes other channels than RGB.
        """
        if images.dtype != torch.uint8:
            return images
        channels = self.encoder.vit.patch_embed.proj.weight.shape[1]
        if channels != 3:
            raise PaumerError(f"images: the network takes {channels} channels, not RGB; call it with normalised images")
        if self.mean is None or self.std is None:
            raise PaumerError(
                "normalization: the ViT does not say how its images are normalised; name it, as "
                'wrap(..., normalization="imagenet")'
            )
        mean, std = (value.to(images.device, torch.float32) for value in (self.mean, self.std))
        return ((images.float() - mean) / std).to(next(self.parameters()).dtype)

    def embed(self, images: Tensor, scale: float = 1.0, labels: Tensor | None = None) -> tuple[Tensor, State]:
        """Normalise images, scale and pad them to whole patches, embed them, and start the state of strategies.

        Args:
            images: (batch, 3, height, width).
            scale: share of height and width that the network sees.
            labels: class ids (batch, height, width); with them the state knows the truth of every patch.
        """
        images = self.normalize(images)
        seen = self._shrink(images, scale) if scale < 1 else self._pad(images)
        tokens = self.encoder.embed(seen)
        grid = self.encoder.grid(*seen.shape[-2:])
        state = State(self.encoder.prefix, grid, heads=self.heads, pixels=seen, class_weights=self.class_weights)
        state.rotation = self.encoder.rotation(grid)
        if labels is not None and self.sub_patch is not None:
            if scale < 1:
                shrunk = functional.interpolate(labels[:, None].float(), seen.shape[-2:], mode="nearest")
                labels = shrunk[:, 0].to(labels.dtype)
            truth = class_counts(labels, grid, self.encoder.patch_size, self.sub_patch, self.classes)
            state.side_tensors = {"truth": truth}
        return tokens, state

    def embed_squares(self, pixels: Tensor, state: State) -> Tensor:
        """Tokens (batch, squares, width) of 2 x 2 patches, from their pixels at half the size."""
        squares = self.encoder.embed_squares(pixels, state.grid)
        state.add_macs(lambda: self.encoder.embed_macs(squares.shape[1]))
        return squares

    def sweep(
        self, images: Tensor, strategies: Sequence[Strategy], labels: Tensor | None = None, count: bool = False
    ) -> list[Output]:
        """Patch logits under several strategies; how blocks are run is a subclass's."""
        raise NotImplementedError

    def classify(self, patches: Tensor, state: State) -> Tensor:
        """Norm and decode patches (batch, patches, width) into logits (batch, patches, cells, classes)."""
        decoder, normed = cast(Head, self.decoder), self.encoder.norm(patches)
        state.add_macs(lambda: decoder.macs(state.patch_counts(patches)))
        if state.packing is not None:
            return torch.cat([decoder(image) for image in state.by_image(normed)], dim=1)
        return decoder(normed)

    def _pad(self, images: Tensor) -> Tensor:
        """Pad on the right and bottom with zeros to multiples of the patch size, as Segmenter does."""
        height, width = images.shape[-2:]
        size = self.encoder.patch_size
        missing = (0, -width % size, 0, -height % size)
        return functional.pad(images, missing) if any(missing) else images

    def _shrink(self, images: Tensor, scale: float) -> Tensor:
        """Resize images to a smaller scale, rounded to whole patches."""
        height, width = images.shape[-2:]
        sides = [count * self.encoder.patch_size for count in self.seen_grid(height, width, scale)]
        return functional.interpolate(images, size=sides, mode="bilinear", antialias=True)

    def seen_grid(self, height: int, width: int, scale: float = 1.0) -> Grid:
        """How many patches in height and width the network sees of an image: padded, or at a smaller scale rounded."""
        size = self.encoder.patch_size
        if scale < 1:
            return max(1, round(int(height) * scale / size)), max(1, round(int(width) * scale / size))
        return -(-height // size), -(-width // size)

    def upsample(self, logits: Tensor, images: Tensor, scale: float = 1.0, rows: Rows | None = None) -> Tensor:
        """Resize patch logits bilinearly to the images they belong to, or some of their rows; padding is cut off."""
        padded, (height, width) = self._extents(images, scale)
        if rows in (None, (0, height)):
            return upsample(logits, padded)[..., :height, :width]
        return upsample_rows(logits, padded, rows)[..., :width]

    def label(self, logits: Tensor, images: Tensor, scale: float = 1.0) -> Tensor:
        """Class ids (batch, height, width) of the images that patch logits belong to, those of `upsample`."""
        return upsampled_labels(logits, *self._extents(images, scale))

    def _extents(self, images: Tensor, scale: float) -> tuple[Grid, Grid]:
        """Height and width that patch logits stand for, and those of the images; a smaller image had no padding."""
        height, width = images.shape[-2:]
        size = self.encoder.patch_size if scale == 1 else 1
        return (height + -height % size, width + -width % size), (height, width)
