"""The interface of networks in use: class ids of images of uint8 at any operating point."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Self

import torch
from torch import Tensor, nn

from paumer.config.measuring import Evaluation, read_evaluation
from paumer.config.network import Normalization
from paumer.models.encoder import Encoder
from paumer.models.inference import predict
from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Strategy
from paumer.strategies.criteria import ORACLE
from paumer.strategies.notation import Schedule
from paumer.strategies.registry import OperatingPoint, build_strategy, read_point
from paumer.system.errors import PaumerError

LAYOUT = "(3, height, width) or (batch, 3, height, width)"


class TrainedSegmenter(Segmenter):
    """A Segmenter with its evaluation settings; trained, published and wrapped networks are all of this class.

    Attributes:
        evaluation: how `segment` sees images: windows, short side, scales.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: nn.Module,
        heads: Mapping[int, Any],
        class_frequencies: Sequence[float] = (),
        *,
        evaluation: Evaluation,
        normalization: Normalization | None,
    ) -> None:
        super().__init__(encoder, decoder, heads, class_frequencies, normalization)
        self.evaluation = evaluation
        self._asked = ("pause", "")  # strategy and criterion of a schedule that names none

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


def evaluation_of(given: Evaluation | Mapping[str, Any] | None) -> Evaluation:
    """How images are seen, from its keys; whole where none are given.

    Raises:
        PaumerError: a key is unknown or does nothing, or a value is not possible.
    """
    return given if isinstance(given, Evaluation) else read_evaluation(given or {}, "evaluation")


def name_of(given: Any, what: str) -> str:
    """A strategy or criterion by its name; empty where none is given.

    Raises:
        PaumerError: it is no name.
    """
    if not isinstance(given, str | None):
        raise PaumerError(f"{what}: {type(given).__name__}; give its name, as docs/strategies.md lists them")
    return given or ""


def require_images(images: Any) -> None:
    """Refuse values that are no images, (batch, 3, height, width) uint8, one or more.

    Raises:
        PaumerError: names their type and shape.
    """
    if not isinstance(images, Tensor):
        raise PaumerError(f"images: {type(images).__name__}; give a tensor of uint8, {LAYOUT}")
    shape = tuple(images.shape)
    if images.dtype != torch.uint8 or images.ndim != 4 or shape[1] != 3 or not images.numel():
        hint = "; channels come first" if shape[-1:] == (3,) else ""
        raise PaumerError(f"images: {images.dtype} of shape {shape}; give uint8, {LAYOUT}, one or more{hint}")
