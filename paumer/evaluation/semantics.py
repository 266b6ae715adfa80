"""Stage `semantics`: how the scores of auxiliary heads relate to the ground truth of every patch.

Also where pausing loses accuracy: in patches that paused, or in those that ran on without seeing them.

A table of patches has a row for every labelled patch of a split, and the columns

- class: name of the class of most of its labelled pixels,
- uniform: whether that is the class of all of them,
- distance: from its centre to the nearest boundary between classes, in sides of a patch; infinite where there is none,
- score: of a criterion after a block; high where the patch needs more computation,
- pause_fraction: the smallest fraction at which it pauses by that score; infinite where it never does,
- error, final_error: share of its labelled pixels that the head of that block, or the whole network, gets wrong.
"""

from collections.abc import Sequence
from itertools import product
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
from paumer.evaluation.calibration import FINAL, Calibration
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


@torch.inference_mode()
def attribution(model: Segmenter, image: Tensor, label: Tensor, pause: Pause) -> Tensor:
    """Confusion matrices of predictions that are put together from a dense and a paused pass over one image.

    Args:
        model: in eval mode.
        image: (1, 3, height, width).
        label: class ids (height, width), 255 where ignored.
        pause: how patches pause.

    Returns:
        A matrix for each of `GROUPS`, (groups, classes, classes) int64.
    """
    pauses = watch_pauses(model, image, pause)
    dense = model.label(model.patch_logits(image, DENSE), image)[0].cpu()
    paused = model.label(pauses.patch_logits, image)[0].cpu()
    waited = pauses.blocks_of_pixels(model.encoder.patch_size, label.shape) > 0
    predicted = (dense, dense.where(~waited, paused), dense.where(waited, paused), paused)
    return torch.stack([confusion_matrix(label.cpu(), predictions, model.classes) for predictions in predicted])


# Those that read the logits alone, and the control.
CRITERIA = ("entropy", "confidence", "random")


def semantics(settings: SemanticsSettings, manifest: Path, run_folder: Path, output: Path) -> None:
    """Write the tables of a trained network, which docs/semantics.md lists, to a folder.

    Every image runs whole and dense, without the windows of the evaluation: nothing pauses, so each head sees all
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
    pause, parts, calibration = Pause(settings.schedule), [], Calibration()
    matrices = torch.zeros(len(GROUPS), model.classes, model.classes, dtype=torch.int64)
    for index in progress(range(len(data)), title="semantics"):
        image, label = data[index]
        parts.append(patch_statistics(model, image, label, data.dataset, settings.fractions, calibration))
        matrices += attribution(model, image[None].to(device), label, pause)
    patches = pd.concat(parts, ignore_index=True)
    labelled = patches[patches["class"].notna()]
    if labelled.empty:
        raise PaumerError(f"{manifest}: no pixel of split {settings.split} is labelled; evaluate another split")
    tables = tabulate(labelled, [int(block) for block in model.heads], CRITERIA, settings.fractions)
    tables["correlation"]["unlabelled"] = len(patches) - len(labelled)
    miou = dict(zip(GROUPS, map(mean_iou, matrices), strict=True))
    tables["attribution"] = pd.DataFrame([{"schedule": str(pause.parameters), **miou}])
    tables["calibration"] = calibration.table()
    with writing_folder(output) as folder:
        for name, table in tables.items():
            table.insert(0, "backbone", run["backbone"])
            table.insert(1, "seed", run["seed"])
            table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6f")


@torch.inference_mode()
def patch_statistics(
    model: Segmenter,
    image: Tensor,
    label: Tensor,
    dataset: Dataset,
    fractions: Sequence[float],
    calibration: Calibration,
) -> pd.DataFrame:
    """Classes, scores and errors of every patch of one image, of which none pauses.

    Args:
        model: a network with heads, in eval mode.
        image: (3, height, width) uint8.
        label: class ids (height, width), 255 where ignored.
        dataset: names the classes.
        fractions: at which patches pause, rising.
        calibration: counts the predictions of the heads and the final one.

    Returns:
        A row for every patch: class (missing where no pixel is labelled), uniform, distance, final_error, and for each
        block B with a head `B error`, and for each criterion C `B C` (the score) and `B C pause fraction`.
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
    for number in range(1, model.encoder.depth + 1):
        tokens = model.run_block(number, tokens, state)
        if str(number) in model.heads:
            logits = state.predict(number, tokens)
            calibration.add(number, logits, truth)
            columns[f"{number} error"] = _numbers(patch_errors(logits, truth)[0])
            for criterion in CRITERIA:
                score = state.scores(criterion, number, tokens)[0]
                columns[f"{number} {criterion}"] = _numbers(score)
                columns[f"{number} {criterion} pause fraction"] = _numbers(pause_fraction(score, fractions))
    final = DENSE.finish(model, tokens, state)
    calibration.add(FINAL, final, truth)
    columns["final_error"] = _numbers(patch_errors(final, truth)[0])
    return pd.DataFrame(columns)


def pause_fraction(scores: Tensor, fractions: Sequence[float]) -> Tensor:
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


# Bins of distances, in sides of a patch; one names where each begins.
BINS = {0.0: "0 to 0.5", 0.5: "0.5 to 1", 1.0: "1 to 2", 2.0: "2 to 3", 3.0: "3 to 4", 4.0: "4 or more"}
# What scores are compared with: the column, and its name in tables.
TARGETS = {"error": "head's error", "final_error": "final error", "gain": "gain"}
FACTS = ["class", "uniform", "distance", "final_error"]


def tabulate(
    patches: pd.DataFrame, blocks: Sequence[int], criteria: Sequence[str], fractions: Sequence[float]
) -> dict[str, pd.DataFrame]:
    """The tables below for every block and criterion, by their names.

    Args:
        patches: class, uniform, distance and final_error of labelled patches; for each block B `B error`, and for each
            criterion C `B C` (the score) and `B C pause fraction`.
        blocks: those with a head.
        criteria: the scores.
        fractions: at which patches pause, rising.

    Returns:
        composition, groups, boundary and correlation, with the columns block and criterion in front.
    """
    rows: dict[str, list[pd.DataFrame]] = {name: [] for name in ("composition", "groups", "boundary", "correlation")}
    for block, criterion in product(blocks, criteria):
        columns = {f"{block} error": "error", f"{block} {criterion}": "score"}
        columns[f"{block} {criterion} pause fraction"] = "pause_fraction"
        chosen = patches[[*FACTS, *columns]].rename(columns=columns)
        tables = (composition(chosen, fractions), groups(chosen, fractions), boundary(chosen), correlation(chosen))
        for part, table in zip(rows.values(), tables, strict=True):
            table.insert(0, "block", block)
            table.insert(1, "criterion", criterion)
            part.append(table)
    return {name: pd.concat(parts, ignore_index=True) for name, parts in rows.items()}


def composition(patches: pd.DataFrame, fractions: Sequence[float]) -> pd.DataFrame:
    """Which classes pause.

    Returns:
        Columns fraction, class, patches, share (of all patches), share_of_paused (among those that pause), share_paused
        (of the patches of the class); classes without a patch are left out.
    """
    parts = []
    for fraction in fractions:
        paused = (patches["pause_fraction"] <= fraction).groupby(patches["class"], observed=True).agg(["size", "sum"])
        shares = {
            "share": paused["size"] / len(patches),
            "share_of_paused": paused["sum"] / paused["sum"].sum(),
            "share_paused": paused["sum"] / paused["size"],
        }
        parts.append(pd.DataFrame({"fraction": fraction, "patches": paused["size"], **shares}).reset_index())
    return pd.concat(parts, ignore_index=True)[["fraction", "class", "patches", *shares]]


def groups(patches: pd.DataFrame, fractions: Sequence[float]) -> pd.DataFrame:
    """How uniform, and how far from boundaries, the patches are that pause and that run on.

    Returns:
        Columns fraction, group (all, paused, running), patches, uniform (share with a label of one class), distance
        (mean over the patches of images with a boundary).
    """
    rows = []
    for fraction in fractions:
        paused = patches["pause_fraction"] <= fraction
        for group, chosen in (("all", patches), ("paused", patches[paused]), ("running", patches[~paused])):
            distance = chosen.loc[np.isfinite(chosen["distance"]), "distance"].mean()
            row = {"fraction": fraction, "group": group, "patches": len(chosen)}
            rows.append(row | {"uniform": chosen["uniform"].mean(), "distance": distance})
    return pd.DataFrame(rows)


def boundary(patches: pd.DataFrame) -> pd.DataFrame:
    """Scores and errors by the distance to the nearest boundary.

    Returns:
        Columns bin (of distances; none for images without a boundary), patches, score, error, final_error (means).
    """
    near = patches[np.isfinite(patches["distance"])]
    bins = pd.cut(near["distance"], [*BINS, np.inf], right=False, labels=list(BINS.values())).rename("bin")
    means = {name: (name, "mean") for name in ("score", "error", "final_error")}
    return near.groupby(bins, observed=True).agg(patches=("score", "size"), **means).reset_index()


def correlation(patches: pd.DataFrame) -> pd.DataFrame:
    """Correlation of scores with errors, and with the error that running on would save.

    Returns:
        Columns target (head's error, final error, gain: the one minus the other), patches, spearman (rank correlation
        with the target; NaN where one of both is the same everywhere), auroc (see `auroc`, of a target above 0).
    """
    known = patches.assign(gain=patches["error"] - patches["final_error"])[["score", *TARGETS]]
    ranked = known.corr(method="spearman")["score"]
    rows = []
    for column, name in TARGETS.items():
        scores = {"spearman": ranked[column], "auroc": auroc(known["score"], known[column] > 0)}
        rows.append({"target": name, "patches": len(known)} | scores)
    return pd.DataFrame(rows)


def auroc(scores: pd.Series, positive: pd.Series) -> float:
    """How often a positive has a higher score than a negative, ties counted half; NaN where there is no pair."""
    count = int(positive.sum())
    pairs = count * (len(scores) - count)
    above = scores.rank()[positive].sum() - count * (count + 1) / 2
    return float(above / pairs) if pairs else np.nan
