"""Segmenter with a strategy between its blocks."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from paumer.config.network import Normalization, statistics_of
from paumer.models.encoder import Encoder, Grid, attend, block_macs, feed_forward
from paumer.models.heads import AuxiliaryHead, AuxiliaryOutput, DecoderHead, cells_to_map
from paumer.models.labels import Rows, balance_classes, class_counts, upsample, upsample_rows, upsampled_labels
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.criteria import BALANCE, patch_loss
from paumer.strategies.state import State
from paumer.strategies.tokens import Head
from paumer.system.errors import PaumerError

DENSE = Dense()


@dataclass(frozen=True)
class Output:
    """The output of a sweep for one strategy.

    Attributes:
        logits: at patch resolution, (batch, classes, grid height, grid width), finer where the decoder is.
        macs: multiply-accumulates of each image, (batch,); None unless counted.
    """

    logits: Tensor
    macs: Tensor | None


class Segmenter(nn.Module):
    """A vision transformer, a decoder and, for some blocks, auxiliary heads.

    Every method takes images (batch, 3, height, width), of uint8 or, normalised already, of floating point.

    Attributes:
        strategy: what runs where a call names no other.
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
        heads: Mapping[int, AuxiliaryHead | DecoderHead],
        class_frequencies: Sequence[float] = (),
        normalization: Normalization | None = None,
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
        self.strategy: Strategy = DENSE

    @property
    def blocks(self) -> nn.Sequential:
        """The encoder layers."""
        return self.encoder.blocks

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

    def forward(self, images: Tensor, strategy: Strategy | None = None) -> Tensor:
        """From images (batch, 3, height, width) to logits (batch, classes, height, width)."""
        strategy = strategy or self.strategy
        return self.upsample(self.patch_logits(images, strategy), images, strategy.input_scale)

    def predict_labels(self, images: Tensor, strategy: Strategy | None = None) -> Tensor:
        """From images (batch, 3, height, width) to class ids (batch, height, width).

        Those of the largest logits of `forward`, without ever holding the logits of all classes at that size.
        """
        strategy = strategy or self.strategy
        return self.label(self.patch_logits(images, strategy), images, strategy.input_scale)

    def patch_logits(self, images: Tensor, strategy: Strategy | None = None) -> Tensor:
        """Logits before upsampling, (batch, classes, grid height, grid width), finer where the decoder is."""
        strategy = strategy or self.strategy
        if strategy.per_image and len(images) > 1:
            return torch.cat([self.patch_logits(image, strategy) for image in images.split(1)])
        tokens, state = self.encode(images, strategy)
        return self.finish(tokens, state, strategy)

    def encode(self, images: Tensor, strategy: Strategy) -> tuple[Tensor, State]:
        """Run the blocks under a strategy.

        Returns:
            The tokens that still run, (batch, prefix + running, width), and the forward pass's state.
        """
        tokens, state = self.embed(images, strategy.input_scale)
        return self._run(tokens, state, strategy), state

    def train_heads(
        self, images: Tensor, labels: Tensor, strategy: Strategy, gradient: float = 1.0
    ) -> tuple[Tensor, list[AuxiliaryOutput]]:
        """As `patch_logits`, and every head predicts from the patches that reach it.

        Args:
            images: (batch, 3, height, width).
            labels: class ids (batch, height, width).
            strategy: what happens between the blocks.
            gradient: share of the gradient that flows from heads and adapters back to the encoder.

        Returns:
            Patch logits, and the logits of every head with the label counts of its patches.
        """
        tokens, state = self.embed(images, strategy.input_scale, labels)
        state.head_gradient, outputs = gradient, []

        def predict(number: int, tokens: Tensor) -> None:
            if str(number) in self.heads and (truth := state.side_tensors.get("truth")) is not None:
                outputs.append(AuxiliaryOutput(state.predict(number, tokens), truth, state.share(tokens)))

        return self.finish(self._run(tokens, state, strategy, predict), state, strategy), outputs

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

    def classify(self, patches: Tensor, state: State) -> Tensor:
        """Norm and decode patches (batch, patches, width) into logits (batch, patches, cells, classes)."""
        decoder, normed = cast(Head, self.decoder), self.encoder.norm(patches)
        state.add_macs(lambda: decoder.macs(state.patch_counts(patches)))
        if state.packing is not None:
            return torch.cat([decoder(image) for image in state.by_image(normed)], dim=1)
        return decoder(normed)

    def finish(self, tokens: Tensor, state: State, strategy: Strategy) -> Tensor:
        """Patch logits as a map from the tokens after the last block."""
        return cells_to_map(strategy.finish(self, tokens, state), state.grid)

    def sweep(
        self, images: Tensor, strategies: Sequence[Strategy], labels: Tensor | None = None, count: bool = False
    ) -> list[Output]:
        """Patch logits under several strategies, sharing every block that some of them have in common.

        Strategies with equal actions so far run as one; the result equals separate forward passes.

        Args:
            images: (batch, 3, height, width).
            strategies: what to run.
            labels: class ids (batch, height, width), for criterion `oracle` alone; dense then runs once more before.
            count: count the multiply-accumulates of every image.
        """
        results: dict[int, Output] = {}
        numbered = list(enumerate(strategies))
        for group in group_by(numbered, lambda strategy: (strategy.per_image, strategy.input_scale)):
            first = group[0][1]
            parts = 1 if first.per_image else len(images)
            known = labels if any(strategy.needs_labels for _, strategy in group) else None
            outputs = [
                self._sweep_group(part, group, None if known is None else known[number * parts :][:parts], count)
                for number, part in enumerate(images.split(parts))
            ]
            for index, _ in group:
                results[index] = _join([output[index] for output in outputs])
        return [results[index] for index, _ in numbered]

    def _sweep_group(
        self, images: Tensor, group: list[tuple[int, Strategy]], labels: Tensor | None, count: bool
    ) -> dict[int, Output]:
        """Outputs of strategies that see the same input, by their number."""
        results: dict[int, Output] = {}
        tokens, state = self.embed(images, group[0][1].input_scale, labels)
        if (truth := state.side_tensors.get("truth")) is not None:
            ran = state.fork()
            final_loss = patch_loss(DENSE.finish(self, self._run(tokens, ran, DENSE), ran), truth)
            state.side_tensors = {"truth": truth, "final_loss": final_loss}
        if count:
            state.macs = torch.zeros(len(images), dtype=torch.float64)
            state.add_macs(lambda: self.encoder.embed_macs(state.patches))
        for subgroup in group_by(group, lambda strategy: strategy.action_key(0)):
            fork = state.fork()
            self._sweep_tree(self._start(tokens, fork, subgroup[0][1]), fork, 0, subgroup, results)
        return results

    def _sweep_tree(
        self, tokens: Tensor, state: State, done: int, group: list[tuple[int, Strategy]], results: dict[int, Output]
    ) -> None:
        """Run a group of strategies that share `tokens` and `state` after `done` blocks."""
        depth = self.encoder.depth
        ended = [item for item in group if item[1].last_block(depth) == done or not len(tokens)]
        for index, strategy in ended:
            fork = state.fork()
            results[index] = Output(self.finish(tokens, fork, strategy), fork.macs)
        number, group = done + 1, [item for item in group if item not in ended]
        for branch in group_by(group, lambda strategy: strategy.merge_key(number)):
            inner = state.fork()
            after = self._run_block(number, tokens, inner, branch[0][1])
            for subgroup in group_by(branch, lambda strategy: strategy.action_key(number)):
                outer = inner.fork()
                reduced = self._act(number, after, outer, subgroup[0][1])
                self._sweep_tree(reduced, outer, number, subgroup, results)

    def _run(
        self,
        tokens: Tensor,
        state: State,
        strategy: Strategy,
        visit: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """Run the blocks under a strategy on embedded tokens, until all images have exited.

        Args:
            tokens: (batch, prefix + patches, width).
            state: the forward pass.
            strategy: what happens between the blocks.
            visit: called with every block's number and output, before the strategy acts.
        """
        tokens = self._start(tokens, state, strategy)
        for number in range(1, strategy.last_block(self.encoder.depth) + 1):
            if tokens.shape[0]:
                tokens = self._run_block(number, tokens, state, strategy)
                if visit is not None:
                    visit(number, tokens)
                tokens = self._act(number, tokens, state, strategy)
        return tokens

    def _start(self, tokens: Tensor, state: State, strategy: Strategy) -> Tensor:
        """What a strategy does before the first block, if anything; pixels are not kept for longer."""
        tokens = tokens if strategy.action_key(0) is None else strategy.before_blocks(self, tokens, state)
        state.pixels = None
        return tokens

    def _act(self, number: int, tokens: Tensor, state: State, strategy: Strategy) -> Tensor:
        """What a strategy does after a block, if anything."""
        return tokens if strategy.action_key(number) is None else strategy.after_block(number, tokens, state)

    def _run_block(self, number: int, tokens: Tensor, state: State, strategy: Strategy) -> Tensor:
        """Run a block; in two halves where tokens merge or have merged, and where images have different lengths."""
        block, attended = self.encoder.blocks[number - 1], state.token_counts(tokens)
        merging = strategy.merge_key(number) is not None
        if state.bias is None and state.packing is None and not merging:
            tokens = block(tokens)
        else:
            lengths = None if state.packing is None else state.packing.lengths
            tokens, keys = attend(block, tokens, state.bias, lengths)
            if merging:
                tokens = strategy.within(number, tokens, keys.mean(dim=1), state)
            tokens = feed_forward(block, tokens)
        state.add_macs(lambda: block_macs(block, attended, state.token_counts(tokens)))
        return tokens

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


def group_by(
    group: Iterable[tuple[int, Strategy]], key: Callable[[Strategy], Hashable]
) -> list[list[tuple[int, Strategy]]]:
    """Split numbered strategies into those with the same key."""
    parts: dict[Hashable, list[tuple[int, Strategy]]] = {}
    for index, strategy in group:
        parts.setdefault(key(strategy), []).append((index, strategy))
    return list(parts.values())


def _join(outputs: list[Output]) -> Output:
    """The outputs of several batches as one."""
    if len(outputs) == 1:
        return outputs[0]
    counts = [output.macs for output in outputs if output.macs is not None]
    return Output(torch.cat([output.logits for output in outputs]), torch.cat(counts) if counts else None)
