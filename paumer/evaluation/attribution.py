"""Where pausing loses accuracy: in the patches that paused, or in those that ran on and no longer saw them."""

import torch
from torch import Tensor

from paumer.evaluation.metrics import confusion_matrix, mean_iou
from paumer.evaluation.pauses import watch_pauses
from paumer.models.segmenter import DENSE, Segmenter
from paumer.strategies.pause import Pause

# The patches whose predictions come from the network that pauses; all others' come from the same network run dense.
GROUPS = ("none", "paused", "running", "all")


class Attribution:
    """Confusion matrices of predictions that are put together from a dense and a paused pass over each image.

    Attributes:
        matrices: group of `GROUPS` -> (classes, classes).
    """

    def __init__(self, classes: int) -> None:
        self.matrices = {group: torch.zeros(classes, classes, dtype=torch.int64) for group in GROUPS}

    @torch.inference_mode()
    def add(self, model: Segmenter, image: Tensor, label: Tensor, pause: Pause) -> None:
        """Run one image with and without pausing.

        Args:
            model: in eval mode.
            image: normalised, (1, 3, height, width).
            label: class ids (height, width), 255 where ignored.
            pause: how patches pause.
        """
        pauses = watch_pauses(model, image, pause)
        dense = model.label(model.patch_logits(image, DENSE), image)[0].cpu()
        paused = model.label(pauses.patch_logits, image)[0].cpu()
        size = model.encoder.patch_size
        waited = (
            (pauses.blocks > 0).repeat_interleave(size, 0).repeat_interleave(size, 1)[: len(label), : len(label[0])]
        )
        predicted = (dense, dense.where(~waited, paused), dense.where(waited, paused), paused)
        for group, predictions in zip(GROUPS, predicted, strict=True):
            self.matrices[group] += confusion_matrix(label.cpu(), predictions, len(self.matrices[group]))

    def miou(self) -> dict[str, float]:
        """Mean IoU in points by group of `GROUPS`."""
        return {group: mean_iou(matrix) for group, matrix in self.matrices.items()}
