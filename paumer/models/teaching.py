"""What heads say in training, and what another network teaches them."""

from dataclasses import dataclass

from torch import Tensor

from paumer.models.heads import map_to_cells


@dataclass(frozen=True)
class Prediction:
    """What an auxiliary head said in training.

    Attributes:
        logits: (batch, running, cells, classes).
        truth: pixels of each class in the same cells.
        share: of the image's patches that reached the head.
    """

    logits: Tensor
    truth: Tensor
    share: float = 1.0


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

    def mix(self, truth: Tensor) -> Tensor:
        """Pixels of each class in every cell (batch, patches, cells, classes), as many, partly as the teacher says."""
        said = map_to_cells(self.probabilities, int(truth.shape[2] ** 0.5))
        return truth.lerp(truth.sum(dim=-1, keepdim=True) * said, self.share)
