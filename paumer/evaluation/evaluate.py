"""Stage `evaluate`: accuracy of one trained network at all its operating points, in one pass over the data."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from paumer.config.base import IGNORE
from paumer.config.measuring import Evaluation, read_sweeps, sweep_points
from paumer.config.network import Backbone
from paumer.config.runs import EvaluateSettings
from paumer.data.datasets import Dataset
from paumer.data.loading import SegmentationData, evaluation_batches
from paumer.data.manifest import samples
from paumer.evaluation.boundaries import boundary_counts, boundary_iou
from paumer.evaluation.confusions import NAME, Images, counts_of, write_confusions
from paumer.models.build import load_run, network_of, require_classes
from paumer.models.inference import predict
from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Strategy
from paumer.strategies.registry import SMALLER_BACKBONE, OperatingPoint, runnable
from paumer.system.files import require_writable, write_text
from paumer.system.machine import autocast, find_device
from paumer.system.progress import progress


def confusion_matrix(labels: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """Count pixels by label (rows) and prediction (columns), (classes, classes) int64; ignored pixels are left out."""
    valid = labels != IGNORE
    slots = labels[valid].long() * classes + predictions[valid].long()
    return torch.bincount(slots, minlength=classes**2).view(classes, classes)


def image_confusions(labels: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """The confusion matrix of each image, (batch, classes, classes) int64.

    Args:
        labels: class ids (batch, height, width), 255 where ignored.
        predictions: class ids, same shape.
        classes: number of classes.
    """
    rows = [confusion_matrix(label, predicted, classes) for label, predicted in zip(labels, predictions, strict=True)]
    return torch.stack(rows)


def class_iou(matrix: Tensor) -> Tensor:
    """Intersection over union per class in points, (classes,); NaN where neither label nor prediction has the class."""
    hits = matrix.diagonal().double()
    return 100 * hits / (matrix.sum(0) + matrix.sum(1) - matrix.diagonal())


def mean_iou(matrix: Tensor) -> float:
    """Mean IoU in points; classes absent from labels and predictions are left out, as cityscapesScripts does."""
    return float(class_iou(matrix).nanmean())


def pixel_accuracy(matrix: Tensor) -> float:
    """Share of labelled pixels predicted right, in points."""
    return float(100 * matrix.diagonal().sum() / matrix.sum())


def patch_errors(logits: Tensor, truth: Tensor) -> Tensor:
    """Share of the labelled pixels of every patch whose class its cells do not predict.

    Args:
        logits: (batch, patches, cells, classes).
        truth: pixels of each class in every cell, same shape.

    Returns:
        (batch, patches), NaN where no pixel is labelled.
    """
    hits = truth.gather(-1, logits.argmax(dim=-1, keepdim=True))
    return 1 - hits.sum(dim=(-2, -1)) / truth.sum(dim=(-2, -1))


def evaluate(
    settings: EvaluateSettings, manifest: Path, run_folder: Path, output: Path, points: Sequence[Path] = ()
) -> None:
    """Write one row per operating point of a trained network to `output`; those that it cannot run are named.

    The confusion matrices of all images go to confusions.npz beside it. Operating points are those of the settings, and
    those that files of stage `candidates` or `choose` have for the network.
    """
    model, run = load_run(run_folder)
    more = [item for item in read_sweeps(points, run["backbone"]) if item.runs_on(run["recipe"])]
    data = SegmentationData(*samples(manifest, settings.split))
    require_classes(model, data.dataset.classes, run_folder)
    require_writable(output, ".csv")
    runs = runnable(model, sweep_points([*settings.sweep, *more]), run["recipe"])
    backbone = network_of(run, run_folder).backbone
    model.to(find_device(settings.device))
    strategies = [strategy for _, strategy in runs]
    results = evaluate_split(model, data, strategies, settings.evaluation, per_image=True)
    rows = [
        {
            "experiment": settings.experiment,
            **point_columns(run, backbone, point),
            **_scores(result, data.dataset),
            "images": len(data),
            **_costs(result),
        }
        for (point, _), result in zip(runs, results, strict=True)
    ]
    images = Images(
        tuple(sample.image.name for sample in data.samples),
        tuple(sample.block for sample in data.samples),
        data.dataset.classes,
    )
    named = [(str(row["strategy"]), str(row["criterion"]), str(row["schedule"])) for row in rows]
    counts = dict(zip(named, (result.counts for result in results), strict=True))
    write_confusions(output.with_name(NAME), images, counts)
    write_text(output, pd.DataFrame(rows).to_csv(index=False, float_format="%.6f"))


def point_columns(run: Mapping[str, Any], backbone: Backbone, point: OperatingPoint) -> dict[str, Any]:
    """What tables call an operating point of a run; a control stands beside the backbone that it is a control for."""
    return {
        "backbone": backbone.control_for or backbone.name,
        "decoder": run["network"]["decoder"]["name"],
        "recipe": run["recipe"],
        **({"variant": run["variant"]} if run.get("variant") else {}),
        "strategy": point.strategy if backbone.control_for is None else SMALLER_BACKBONE,
        "criterion": point.criterion,
        "schedule": point.schedule if backbone.control_for is None else backbone.name,
        "seed": run["seed"],
    }


@dataclass(frozen=True)
class SplitResult:
    """Results of one operating point on all images of a split.

    Attributes:
        matrix: confusion matrix (classes, classes).
        macs: multiply-accumulates of every image, (images,).
        agreement: share of the pixels whose class is that of the first operating point.
        counts: the entries of every image's confusion matrix that are not 0, as `counts_of` has them, (3, entries);
            none unless asked for.
        boundaries: pixels near a boundary by class, as `boundary_counts` counts them, (3, classes); zero unless asked
            for.
    """

    matrix: Tensor
    macs: Tensor
    agreement: float
    counts: np.ndarray
    boundaries: Tensor


def evaluate_split(
    model: Segmenter,
    data: SegmentationData,
    strategies: Sequence[Strategy],
    evaluation: Evaluation,
    per_image: bool = False,
) -> list[SplitResult]:
    """The results of each strategy on a whole split, on the device that the network is on.

    With `per_image` also those of every image, and near the boundaries of thin and small things.
    """
    batches, near = evaluation_batches(data, evaluation.images_at_once), per_image and bool(data.dataset.thin_classes)
    return evaluate_batches(model, batches, len(data), strategies, evaluation, per_image, near)


@torch.inference_mode()
def evaluate_batches(
    model: Segmenter,
    batches: Iterable[tuple[Tensor, Tensor | None]],
    total: int,
    strategies: Sequence[Strategy],
    evaluation: Evaluation,
    per_image: bool = False,
    near_boundaries: bool = False,
) -> list[SplitResult]:
    """The results of each strategy, all of which run in one sweep over the images.

    Args:
        model: in eval mode, on its device.
        batches: images (batch, 3, height, width) uint8 and their class ids (batch, height, width); None: not known.
        total: how many images there are.
        strategies: operating points.
        evaluation: how images are seen.
        per_image: also keep the confusion matrix of every image.
        near_boundaries: also count the pixels near boundaries.
    """
    device, classes, count = model.device, model.classes, len(strategies)
    matrices = torch.zeros(count, classes, classes, dtype=torch.int64, device=device)
    boundaries = torch.zeros(count, 3, classes, dtype=torch.int64, device=device)
    counts: list[list[np.ndarray]] = [[np.zeros((3, 0), dtype=np.uint32)] for _ in strategies]
    done = 0
    same, pixels = torch.zeros(count, dtype=torch.int64, device=device), 0
    costs: list[list[Tensor]] = [[] for _ in strategies]
    first = torch.empty(0)
    torch.manual_seed(0)  # for criterion random
    bar = progress(title="evaluate", total=total)
    for images, given in batches:
        labels = None if given is None else given.to(device)
        with autocast(device, evaluation.precision):
            for index, predicted in predict(model, images.to(device), strategies, evaluation, labels):
                first = predicted.classes if index == 0 else first
                same[index] += (predicted.classes == first).sum()
                costs[index].append(predicted.macs)
                if labels is not None:
                    of_images = image_confusions(labels, predicted.classes, classes)
                    matrices[index] += of_images.sum(dim=0)
                    if per_image:
                        counts[index].append(counts_of(of_images.cpu().numpy(), done))
                    if near_boundaries:
                        boundaries[index] += boundary_counts(labels, predicted.classes, classes)
        done += len(images)
        pixels += first.numel()
        bar.update(len(images))
    bar.close()
    agreements = (same.double() / pixels).tolist()
    return [
        SplitResult(matrix, torch.cat(costs[index]), agreements[index], np.hstack(counts[index]), boundaries[index])
        for index, matrix in enumerate(matrices)
    ]


def _costs(result: SplitResult) -> dict[str, float]:
    """Mean, 5th and 95th percentile of an image's GMAC."""
    low, high = torch.quantile(result.macs, torch.tensor([0.05, 0.95], dtype=result.macs.dtype)).tolist()
    return {"gmac": float(result.macs.mean()) / 1e9, "gmac_low": low / 1e9, "gmac_high": high / 1e9}


def _scores(result: SplitResult, dataset: Dataset) -> dict[str, float]:
    matrix = result.matrix
    ious = class_iou(matrix).tolist()
    return {
        "miou": mean_iou(matrix),
        "pixel_accuracy": pixel_accuracy(matrix),
        **_boundary_score(result, dataset),
        **{f"iou_{name}": iou for name, iou in zip(dataset.classes, ious, strict=True)},
    }


def _boundary_score(result: SplitResult, dataset: Dataset) -> dict[str, float]:
    """Mean boundary IoU of the thin and small classes, where the dataset names some."""
    if not dataset.thin_classes:
        return {}
    ious = boundary_iou(result.boundaries)
    chosen = [ious[dataset.classes.index(name)] for name in dataset.thin_classes]
    return {"thin_boundary_iou": float(torch.stack(chosen).nanmean())}
