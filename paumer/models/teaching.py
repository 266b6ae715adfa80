"""What heads say in training, and what another network teaches them."""

from dataclasses import dataclass
from typing import cast

from torch import Tensor

from paumer.models.heads import map_to_cells
from paumer.strategies.criteria import patch_loss
from paumer.strategies.heads import Head
from paumer.strategies.state import State

SMALLEST = 1e-8  # of probabilities, so that their logarithms are finite


@dataclass(frozen=True)
class Prediction:
    """What an auxiliary head said in training.

    Attributes:
        logits: (batch, running, cells, classes).
        truth: pixels of each class in the same cells.
        gain: how much each patch would gain by running on, as predicted, before a sigmoid, (batch, running); None
            where nothing predicts it.
        saved: how much loss it would save, (batch, running); None where no teacher tells.
    """

    logits: Tensor
    truth: Tensor
    gain: Tensor | None = None
    saved: Tensor | None = None


@dataclass(frozen=True)
class Teaching:
    """What another network teaches in training.

    Attributes:
        probabilities: its classes at patch resolution, (batch, classes, grid height, grid width), finer where the
            decoder is.
        share: of the targets that it gives; the labels give the rest.
    """

    probabilities: Tensor
    share: float

    def loss(self, truth: Tensor) -> Tensor:
        """What its prediction costs each patch, (batch, patches), by the pixels in every cell."""
        cells = map_to_cells(self.probabilities, int(truth.shape[2] ** 0.5))
        return patch_loss(cells.clamp(min=SMALLEST).log(), truth)

    def mix(self, truth: Tensor) -> Tensor:
        """Pixels of each class in every cell (batch, patches, cells, classes), as many, partly as the teacher says."""
        said = map_to_cells(self.probabilities, int(truth.shape[2] ** 0.5))
        return truth.lerp(truth.sum(dim=-1, keepdim=True) * said, self.share)


def hear(block: int, tokens: Tensor, state: State) -> Prediction:
    """What the head after a block says in training; its prediction of the gain changes nothing but itself."""
    logits, gain = state.predict(block, tokens), cast(Head, state.heads[str(block)]).gain
    assert state.truth is not None
    if gain is None or state.final_loss is None:
        return Prediction(logits, state.truth)
    said = logits.detach()
    saved = patch_loss(said, state.truth) - state.final_loss
    return Prediction(logits, state.truth, gain(state.adapt(block, tokens).detach(), said), saved)
