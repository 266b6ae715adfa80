"""Stage `evaluate`: accuracy of one trained network at all its operating points, in one pass over the data."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from paumer.data.datasets import Dataset
from paumer.data.loading import SegmentationData, evaluation_batches
from paumer.data.preparation import samples
from paumer.data.transforms import normalize
from paumer.evaluation.inference import predict
from paumer.evaluation.metrics import class_iou, confusion_matrix, mean_iou, pixel_accuracy
from paumer.files import write_text
from paumer.models.build import load_run
from paumer.models.segmenter import Segmenter
from paumer.progress import progress
from paumer.runtime import autocast, find_device
from paumer.stages import EvaluateSettings
from paumer.strategies.contract import Strategy
from paumer.strategies.points import check_points, operating_points


def evaluate(settings: EvaluateSettings, manifest: Path, run_folder: Path, output: Path) -> None:
    """Write one row per operating point of a trained network to `output`."""
    model, run = load_run(run_folder)
    dataset, found = samples(manifest, settings.split)
    points = operating_points(run["recipe"], settings.sweep)
    check_points(points, model.encoder.depth, model.heads.keys())
    data = SegmentationData(dataset, found)
    normalization = run["network"]["backbone"]["normalization"]
    matrices = confusion_matrices(model, data, points, settings, normalization)
    rows = [
        {
            "experiment": settings.experiment,
            "backbone": run["backbone"],
            "decoder": run["network"]["decoder"]["name"],
            "recipe": run["recipe"],
            "strategy": point.name,
            "criterion": point.criterion_name,
            "schedule": point.schedule_text,
            "seed": run["seed"],
            **_scores(matrix, dataset),
            "images": len(found),
        }
        for point, matrix in zip(points, matrices, strict=True)
    ]
    write_text(output, pd.DataFrame(rows).to_csv(index=False, float_format="%.4f"))


@torch.inference_mode()
def confusion_matrices(
    model: Segmenter,
    data: SegmentationData,
    points: Sequence[Strategy],
    settings: EvaluateSettings,
    normalization: str,
) -> list[Tensor]:
    """One confusion matrix over the whole split for each operating point."""
    device = find_device(settings.device)
    model = model.to(device)
    classes = len(data.dataset.classes)
    matrices = [torch.zeros(classes, classes, dtype=torch.int64, device=device) for _ in points]
    torch.manual_seed(0)  # for criterion random
    with progress(title="evaluate", total=len(data)) as bar:
        for images, labels in evaluation_batches(data, settings.evaluation.batch):
            labels = labels.to(device)
            with autocast(device, settings.evaluation.precision):
                predictions = predict(model, normalize(images.to(device), normalization), points, settings.evaluation)
                for index, predicted in predictions:
                    matrices[index] += confusion_matrix(labels, predicted, classes)
            bar.update(len(images))
    return matrices


def _scores(matrix: Tensor, dataset: Dataset) -> dict[str, float]:
    ious = class_iou(matrix).tolist()
    return {
        "miou": mean_iou(matrix),
        "pixel_accuracy": pixel_accuracy(matrix),
        **{f"iou_{name}": iou for name, iou in zip(dataset.classes, ious, strict=True)},
    }
