"""Segmenter with a strategy between its blocks."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from copy import copy
from typing import Any, Self

import torch
from torch import Tensor, nn

from paumer.config.base import Size
from paumer.config.measuring import Evaluation
from paumer.config.network import Normalization
from paumer.models.base import EncoderDecoder, Output
from paumer.models.blocks import attend, block_macs, feed_forward, run_whole
from paumer.models.encoder import Encoder
from paumer.models.heads import AuxiliaryOutput, cells_to_map
from paumer.models.inference import predict, require_images
from paumer.models.optimized import Mode, NumberType, Optimized, Scope
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.criteria import ORACLE, patch_loss
from paumer.strategies.notation import Schedule
from paumer.strategies.registry import OperatingPoint, build_strategy, read_point
from paumer.strategies.state import State
from paumer.system.errors import PaumerError

DENSE = Dense()


class Segmenter(EncoderDecoder):
    """A vision transformer, a decoder and, for some blocks, auxiliary heads, run under a strategy.

    Trained, published and wrapped networks are all of this class. Every method takes images (batch, 3, height, width),
    of uint8 or, normalised already, of floating point.

    Attributes:
        strategy: what runs where a call names no other.
        evaluation: how `segment` sees images: windows, short side, scales.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: nn.Module,
        heads: Mapping[int, nn.Module],
        class_frequencies: Sequence[float] = (),
        normalization: Normalization | None = None,
        evaluation: Evaluation | None = None,
    ) -> None:
        super().__init__(encoder, decoder, heads, class_frequencies, normalization)
        self.strategy: Strategy = DENSE
        self.evaluation = evaluation or Evaluation()
        self._asked = ("pause", "")  # strategy and criterion of a schedule that names none

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

    @torch.inference_mode()
    def segment(self, images: Tensor) -> Tensor:
        """Class ids of images of any size, in the windows and views of `evaluation`.

        Args:
            images: RGB, (3, height, width) or (batch, 3, height, width), uint8.

        Returns:
            (height, width) or (batch, height, width) int64.

        Raises:
            PaumerError: images of another shape or type.
        """
        single = isinstance(images, Tensor) and images.ndim == 3
        batch = images[None] if single else images
        require_images(batch)
        [(_, predicted)] = predict(self, batch.to(self.device), [self.strategy], self.evaluation)
        return predicted.classes[0] if single else predicted.classes

    def with_schedule(self, schedule: str | Schedule, strategy: str | None = "", criterion: str | None = "") -> Self:
        """This network at another operating point: another object with the same weights.

        Args:
            schedule: where and how much, `3:0.4`; with the strategy before it, `merge 1-8:0.05`; or `dense` for every
                patch through every block.
            strategy: a registered name, or a composition such as `merge>pause`; empty: as now, `pause` at first.
            criterion: by which patches are chosen; empty: as now, or the usual one of a strategy that is named.

        Raises:
            PaumerError: the operating point is not possible in this network.
        """
        strategy, criterion = "".join(name_of(strategy, "strategy").split()), name_of(criterion, "criterion")
        asked = (strategy, criterion) if strategy else (self._asked[0], criterion or self._asked[1])
        point = read_point(str(schedule).strip() or "dense", *asked)
        if point.criterion == ORACLE:
            raise PaumerError(f"{point.strategy}: criterion oracle needs the ground truth; use entropy")
        other = copy(self)  # shares all modules
        other.strategy = self.strategy_of(point)
        other._asked = asked if point.strategy in (asked[0], "dense") else (point.strategy, "")
        return other

    def strategy_of(self, point: OperatingPoint) -> Strategy:
        """The strategy of an operating point.

        Raises:
            PaumerError: this network cannot run it.
        """
        point.check_depth(self.encoder.depth)
        strategy = build_strategy(point)
        if reason := strategy.skip(self):
            raise PaumerError(f"{point}: {reason}; choose another operating point")
        return strategy

    def optimized(
        self,
        size: Size,
        batch: int = 1,
        schedules: Sequence[str | Schedule] = (),
        dtype: NumberType = "auto",
        mode: Mode = "eager",
        output: Scope = "logits",
    ) -> Optimized:
        """The inference form: a copy for images of one size, with less to do in a pass, at dense and some schedules.

        Args:
            size: height and width of the images.
            batch: how many at a time.
            schedules: as for `with_schedule`; each has a place of its own, so that changing between them is free.
            dtype: number type between embedding and final norms; `auto` is bfloat16 where the device is fast at it.
            mode: `eager`; `compile`, for the static shapes; or `cuda-graphs`.
            output: `logits` at the size of the images, `labels` there, or `patch-logits`.

        Raises:
            PaumerError: a schedule is not possible in this network, or an option is unknown.
        """
        named = dict.fromkeys(["dense", *map(str, schedules)])
        strategies = {schedule: self.with_schedule(schedule).strategy for schedule in named}
        return Optimized(self, size, batch, strategies, dtype, mode, output)

    def patch_logits(self, images: Tensor, strategy: Strategy | None = None) -> Tensor:
        """Logits before upsampling, (batch, classes, grid height, grid width), finer where the decoder is."""
        strategy = strategy or self.strategy
        if strategy.per_image and len(images) > 1:
            return torch.cat([self.patch_logits(image, strategy) for image in images.split(1)])
        tokens, state = self.encode(images, strategy)
        return self.finish(tokens, state, strategy)

    def encode(self, images: Tensor, strategy: Strategy) -> tuple[Tensor, State]:
        """The tokens that still run after the blocks, (batch, prefix + running, width), and the state of the pass."""
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
        for group in group_by(enumerate(strategies), lambda strategy: (strategy.per_image, strategy.input_scale)):
            first = group[0][1]
            parts = 1 if first.per_image else len(images)
            known = labels if any(strategy.needs_labels for _, strategy in group) else None
            outputs = [
                self._sweep_group(part, group, None if known is None else known[number * parts :][:parts], count)
                for number, part in enumerate(images.split(parts))
            ]
            for index, _ in group:
                results[index] = _join([output[index] for output in outputs])
        return [results[index] for index in range(len(strategies))]

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
            after = self.run_block(number, tokens, inner, branch[0][1])
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
                tokens = self.run_block(number, tokens, state, strategy)
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

    def run_block(self, number: int, tokens: Tensor, state: State, strategy: Strategy = DENSE) -> Tensor:
        """Run a block; in two halves where tokens merge or have merged, and where images have different lengths."""
        block, attended = self.encoder.blocks[number - 1], state.token_counts(tokens)
        merging = strategy.merge_key(number) is not None
        if state.bias is None and state.packing is None and not merging:
            tokens = run_whole(block, tokens, state.rotation, state.prefix)
        else:
            lengths = None if state.packing is None else state.packing.lengths
            tokens, keys = attend(block, tokens, state.bias, lengths, state.rotation)
            if merging:
                tokens = strategy.within(number, tokens, keys.mean(dim=1), state)
            tokens = feed_forward(block, tokens)
        state.add_macs(lambda: block_macs(block, attended, state.token_counts(tokens)))
        return tokens


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


def name_of(given: Any, what: str) -> str:
    """A strategy or criterion by its name; empty where none is given.

    Raises:
        PaumerError: it is no name.
    """
    if isinstance(given, str | None):
        return given or ""
    raise PaumerError(f"{what}: {type(given).__name__}; give its name, as docs/strategies.md lists them")
