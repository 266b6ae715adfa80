"""mIoU of whole splits, against the official evaluators on the files they read."""

import contextlib
import io
from pathlib import Path

import miniature
import numpy as np
import pytest
import torch
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling
from cityscapesscripts.helpers.labels import labels as official_labels
from PIL import Image

from paumer.config.base import IGNORE
from paumer.data.catalogue import DATASETS
from paumer.data.datasets import Dataset
from paumer.data.images import read_sample
from paumer.evaluation.evaluate import class_iou, confusion_matrix, mean_iou, pixel_accuracy

ID_OF_CLASS = np.array([label.id for label in official_labels if not label.ignoreInEval], dtype=np.uint8)


def drawn(label: np.ndarray, classes: int, generator: np.random.Generator, only: int | None = None) -> np.ndarray:
    """Class ids that are right for half of the labelled pixels; of all classes, or of the first `only`."""
    noise = generator.integers(0, only or classes, label.shape)
    return np.where((generator.random(label.shape) < 0.5) & (label != IGNORE), label, noise)


def score_officially(predictions: list[Path], truths: list[Path]) -> dict:
    """The results of Cityscapes' evaluator for pairs of files; instances are left out."""
    arguments = evalPixelLevelSemanticLabeling.args
    arguments.evalLabels = [label.id for label in official_labels if label.id >= 0]
    arguments.evalInstLevelScore, arguments.JSONOutput, arguments.quiet = False, False, True
    files = [[str(path) for path in paths] for paths in (predictions, truths)]
    with contextlib.redirect_stdout(io.StringIO()):
        return evalPixelLevelSemanticLabeling.evaluateImgLists(*files, arguments)


def compare_with_cityscapes(dataset: Dataset, folder: Path, output: Path, only: int | None) -> int:
    """Score random predictions for split val here and there; give the number of classes that are absent."""
    generator, matrix, pairs = np.random.default_rng(1), torch.zeros(19, 19, dtype=torch.int64), []
    for sample in dataset.samples(folder, "val"):
        _, label = read_sample(sample, dataset)
        predicted = drawn(label, 19, generator, only)
        matrix += confusion_matrix(torch.from_numpy(label), torch.from_numpy(predicted), 19)
        path = output / sample.label.name
        Image.fromarray(ID_OF_CLASS[predicted]).save(path)
        pairs.append((path, sample.label.with_name(sample.label.name.replace("TrainIds", "Ids"))))
    results = score_officially(*zip(*pairs, strict=True))
    assert mean_iou(matrix) == pytest.approx(100 * results["averageScoreClasses"], abs=1e-6)
    theirs = [100 * results["classScores"][name] for name in dataset.classes]
    assert class_iou(matrix).tolist() == pytest.approx(theirs, abs=1e-6, nan_ok=True)
    return int(np.isnan(theirs).sum())


@pytest.mark.parametrize("only", [None, 3], ids=["all classes are predicted", "some classes are absent"])
def test_miou_is_that_of_cityscapes(tmp_path, only) -> None:
    folder = miniature.cityscapes(tmp_path / "cityscapes", train=0, val=4)
    (tmp_path / "predictions").mkdir()
    dataset = DATASETS["cityscapes"]
    labels = [read_sample(sample, dataset)[1] for sample in dataset.samples(folder, "val")]
    assert any((label == IGNORE).any() for label in labels)
    absent = compare_with_cityscapes(dataset, folder, tmp_path / "predictions", only)
    present = {int(value) for label in labels for value in np.unique(label)} - {IGNORE}
    assert absent == (0 if only is None else 19 - len(present | set(range(only))))


def test_miou_of_scenes_is_that_of_cityscapes(tmp_path, manifest) -> None:
    folder = manifest.parent / "data" / "scenes"
    compare_with_cityscapes(DATASETS["scenes"], folder, tmp_path, None)


@pytest.mark.parametrize("only", [None, 40], ids=["all classes are predicted", "some classes are absent"])
def test_miou_is_that_of_mmsegmentation(tmp_path, only) -> None:
    """Its formula: sums of intersections over sums of unions, their mean over the classes that occur at all."""
    folder = miniature.ade20k(tmp_path, train=0, val=3, classes=150)
    generator, matrix = np.random.default_rng(2), torch.zeros(150, 150, dtype=torch.int64)
    intersections, predictions, labelled, hits, pixels = np.zeros(150), np.zeros(150), np.zeros(150), 0, 0
    for path in sorted((folder / "annotations" / "validation").glob("*.png")):
        label = np.asarray(Image.open(path)).astype(np.int64) - 1
        label[label < 0] = IGNORE
        predicted = drawn(label, 150, generator, only)
        matrix += confusion_matrix(torch.from_numpy(label), torch.from_numpy(predicted), 150)
        valid = label != IGNORE
        intersections += np.bincount(label[valid & (label == predicted)], minlength=150)
        predictions += np.bincount(predicted[valid], minlength=150)
        labelled += np.bincount(label[valid], minlength=150)
        hits, pixels = hits + (label == predicted)[valid].sum(), pixels + valid.sum()
    with np.errstate(invalid="ignore"):
        theirs = 100 * intersections / (predictions + labelled - intersections)
    assert class_iou(matrix).tolist() == pytest.approx(theirs.tolist(), nan_ok=True)
    assert mean_iou(matrix) == pytest.approx(np.nanmean(theirs))
    assert pixel_accuracy(matrix) == pytest.approx(100 * hits / pixels)
    assert np.isnan(theirs).any() == (only is not None)
