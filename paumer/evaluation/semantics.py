"""Stage `semantics`: what auxiliary heads are certain of, beside the ground truth of every patch.

Where pausing loses accuracy: in the patches that paused, or in those that ran on and no longer saw them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from paumer.config.runs import SemanticsSettings
from paumer.data.datasets import Dataset
from paumer.data.loading import SegmentationData
from paumer.data.manifest import samples
from paumer.evaluation.alignment import tabulate
from paumer.evaluation.evaluate import confusion_matrix, mean_iou, patch_errors
from paumer.evaluation.pauses import watch_pauses
from paumer.models.build import load_run, require_classes
from paumer.models.labels import boundary_distances
from paumer.models.segmenter import DENSE, Segmenter
from paumer.strategies.notation import Location, Schedule
from paumer.strategies.pause import Pause
from paumer.system.errors import PaumerError
from paumer.system.files import require_folder, writing_folder
from paumer.system.machine import find_device
from paumer.system.progress import progress

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
            image: (1, 3, height, width).
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


# Those that a head gives in one go, and the control.
CRITERIA = ("entropy", "confidence", "random")


def semantics(settings: SemanticsSettings, manifest: Path, run_folder: Path, output: Path) -> None:
    """Write composition, groups, boundary, correlation and attribution.csv of a trained network to a folder.

    Every image runs whole and dense, whatever the windows of the evaluation: nothing pauses, so each head sees all
    patches. For attribution.csv it runs once more, and pauses.

    Raises:
        PaumerError: the network has no auxiliary head, or no pixel of the split is labelled.
    """
    model, run = load_run(run_folder)
    if not model.heads:
        raise PaumerError(f"{run_folder}: the network has no auxiliary head; name a run of recipe paumer")
    require_folder(output)
    device = find_device(settings.device)
    model.to(device)
    data = SegmentationData(*samples(manifest, settings.split))
    require_classes(model, data.dataset.classes, run_folder)
    torch.manual_seed(0)  # for criterion random
    pause, attribution = Pause(Schedule.parse(settings.schedule)), Attribution(len(data.dataset.classes))
    parts = []
    for index in progress(range(len(data)), title="semantics"):
        image, label = data[index]
        parts.append(observe(model, image, label, data.dataset, settings.fractions))
        attribution.add(model, image[None].to(device), label, pause)
    patches = pd.concat(parts, ignore_index=True)
    labelled = patches[patches["class"].notna()]
    if labelled.empty:
        raise PaumerError(f"{manifest}: no pixel of split {settings.split} is labelled; evaluate another split")
    tables = tabulate(labelled, [int(block) for block in model.heads], CRITERIA, settings.fractions)
    tables["correlation"]["unlabelled"] = len(patches) - len(labelled)
    tables["attribution"] = pd.DataFrame([{"schedule": str(pause.parameters), **attribution.miou()}])
    with writing_folder(output) as folder:
        for name, table in tables.items():
            table.insert(0, "backbone", run["backbone"])
            table.insert(1, "seed", run["seed"])
            table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6f")


@torch.inference_mode()
def observe(
    model: Segmenter,
    image: Tensor,
    label: Tensor,
    dataset: Dataset,
    fractions: Sequence[float],
) -> pd.DataFrame:
    """What is known of every patch of one image when all run.

    Args:
        model: a network with heads, in eval mode.
        image: (3, height, width) uint8.
        label: class ids (height, width), 255 where ignored.
        dataset: names the classes.
        fractions: at which patches pause, rising.

    Returns:
        A row for every patch: class (missing where no pixel is labelled), uniform, distance, final_error, and for each
        block B with a head `B error`, and for each criterion C `B C` (the score) and `B C paused from`.
    """
    label = label.to(model.device)
    tokens, state = model.embed(image[None].to(model.device), labels=label[None])
    truth = state.side_tensors["truth"]
    counts = truth[0].sum(dim=1).cpu().numpy()
    majority = np.where(counts.any(axis=1), counts.argmax(axis=1), -1)
    columns: dict[str, Any] = {
        "class": pd.Categorical.from_codes(majority, categories=pd.Index(dataset.classes)),
        "uniform": counts.max(axis=1) == counts.sum(axis=1),
        "distance": _numbers(boundary_distances(label, state.grid, model.encoder.patch_size)),
    }
    for number, block in enumerate(model.blocks, start=1):
        tokens = block(tokens)
        if str(number) in model.heads:
            columns[f"{number} error"] = _numbers(patch_errors(state.predict(number, tokens), truth)[0])
            for criterion in CRITERIA:
                score = state.scores(criterion, number, tokens)[0]
                columns[f"{number} {criterion}"] = _numbers(score)
                columns[f"{number} {criterion} paused from"] = _numbers(paused_from(score, fractions))
    columns["final_error"] = _numbers(patch_errors(DENSE.finish(model, tokens, state), truth)[0])
    return pd.DataFrame(columns)


def paused_from(scores: Tensor, fractions: Sequence[float]) -> Tensor:
    """The smallest fraction at which each patch of an image would pause.

    Args:
        scores: (patches,), high where a patch needs more computation.
        fractions: of the image's patches, rising.

    Returns:
        (patches,) float64, infinite where a patch runs on at all of them.
    """
    places = scores.argsort().argsort()
    smallest = torch.full(scores.shape, torch.inf, dtype=torch.float64, device=scores.device)
    for fraction in reversed(fractions):
        [running] = Schedule((Location(1, fraction),)).running(len(scores)).values()
        smallest[places < len(scores) - running] = fraction
    return smallest


def _numbers(values: Tensor) -> np.ndarray:
    return values.cpu().numpy()
