"""Which patches lose what pausing costs."""

import pytest
import torch

from paumer.evaluation.evaluate import confusion_matrix, mean_iou
from paumer.evaluation.pauses import watch_pauses
from paumer.evaluation.semantics import Attribution
from paumer.models.segmenter import DENSE
from paumer.strategies.notation import Schedule
from paumer.strategies.pause import Pause

PAUSE = Pause(Schedule.parse("2:0.5"))
SIZE = (30, 61)  # no whole number of patches


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(1, 3, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def predictions(model, image, strategy) -> torch.Tensor:
    with torch.inference_mode():
        return model.label(model.patch_logits(image, strategy), image)[0]


def test_ends_are_the_dense_and_the_paused_network(model, image) -> None:
    label = torch.randint(0, model.classes, SIZE, generator=torch.Generator().manual_seed(1))
    attribution = Attribution(model.classes)
    attribution.add(model, image, label, PAUSE)
    for group, strategy in (("none", DENSE), ("all", PAUSE)):
        matrix = confusion_matrix(label, predictions(model, image, strategy), model.classes)
        assert torch.equal(attribution.matrices[group], matrix)
        assert attribution.miou()[group] == mean_iou(matrix)


def test_paused_and_running_patches_change_what_all_change(model, image) -> None:
    """Where the label is the dense prediction, every error is one that pausing made, in the one group or the other."""
    label = predictions(model, image, DENSE)
    attribution = Attribution(model.classes)
    attribution.add(model, image, label, PAUSE)
    errors = {group: int(matrix.sum() - matrix.diagonal().sum()) for group, matrix in attribution.matrices.items()}
    waited = watch_pauses(model, image, PAUSE).blocks.repeat_interleave(8, 0).repeat_interleave(8, 1)[:30, :61] > 0
    wrong = predictions(model, image, PAUSE) != label
    assert errors == {
        "none": 0,
        "paused": int(wrong[waited].sum()),
        "running": int(wrong[~waited].sum()),
        "all": int(wrong.sum()),
    }
    assert errors["paused"] and errors["running"]
