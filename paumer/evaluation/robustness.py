"""Stage `robustness`: accuracy of one trained network on corrupted images, and how certain its heads are of them."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch

from paumer.config.measuring import Evaluation, sweep_points
from paumer.config.runs import RobustnessSettings
from paumer.data.corruptions import CORRUPTIONS, CorruptedData
from paumer.data.loading import SegmentationData, evaluation_batches, evenly
from paumer.data.manifest import samples
from paumer.evaluation.evaluate import evaluate_split, mean_iou, pixel_accuracy, point_columns
from paumer.models.build import load_run, network_of, require_classes
from paumer.models.segmenter import Segmenter
from paumer.strategies.registry import runnable
from paumer.system.files import require_writable, write_text
from paumer.system.machine import autocast, find_device

CLEAN = "none"  # the images as they are
CERTAIN = 0.1  # an entropy below this share of the largest one counts as certain


def robustness(settings: RobustnessSettings, manifest: Path, run_folder: Path, output: Path) -> None:
    """Write one row per corruption, strength and operating point to `output`; clean images come first.

    Columns `certain_B` hold the share of the patches of which the head after block B is certain, nothing pausing.
    """
    model, run = load_run(run_folder)
    dataset, found = samples(manifest, settings.split)
    require_classes(model, dataset.classes, run_folder)
    require_writable(output, ".csv")
    points = runnable(model, sweep_points(settings.robustness.sweep, run["recipe"]), run["recipe"])
    backbone = network_of(run, run_folder).backbone
    model.to(find_device(settings.device))
    clean = SegmentationData(dataset, [found[place] for place in evenly(len(found), settings.robustness.images)])
    rows = []
    for name, strength, data in _corrupted(clean):
        results = evaluate_split(model, data, [strategy for _, strategy in points], settings.evaluation)
        certain = certain_patches(model, data, settings.evaluation)
        rows += [
            {
                "experiment": settings.experiment,
                "corruption": name,
                "strength": strength,
                **point_columns(run, backbone, point),
                "miou": mean_iou(result.matrix),
                "pixel_accuracy": pixel_accuracy(result.matrix),
                "gmac": float(result.macs.mean()) / 1e9,
                "images": len(data),
                **{f"certain_{block}": share for block, share in certain.items()},
            }
            for (point, _), result in zip(points, results, strict=True)
        ]
    write_text(output, pd.DataFrame(rows).to_csv(index=False, float_format="%.6f"))


def _corrupted(clean: SegmentationData) -> Iterator[tuple[str, float, SegmentationData]]:
    """The split as it is, and under every corruption at every strength."""
    yield CLEAN, 0.0, clean
    for name, corruption in CORRUPTIONS.items():
        for strength in corruption.strengths:
            yield name, strength, CorruptedData(clean, name, strength)


@torch.inference_mode()
def certain_patches(model: Segmenter, data: SegmentationData, evaluation: Evaluation) -> dict[int, float]:
    """Share of all patches whose auxiliary prediction is certain, by the block of the head.

    Images run whole and dense, without the windows of the evaluation, so each head sees all patches.

    Args:
        model: in eval mode, on its device.
        data: a split.
        evaluation: its batch and number type are used.
    """
    certain, patches = dict.fromkeys(sorted(map(int, model.heads)), 0), 0
    for images, _ in evaluation_batches(data, evaluation.images_at_once) if certain else ():
        with autocast(model.device, evaluation.precision):
            tokens, state = model.embed(images.to(model.device))
            for number in range(1, model.encoder.depth + 1):
                tokens = model.run_block(number, tokens, state)
                if number in certain:
                    certain[number] += int((state.scores("entropy", number, tokens) < CERTAIN).sum())
        patches += len(images) * state.grid[0] * state.grid[1]
    return {block: count / patches for block, count in certain.items()}
