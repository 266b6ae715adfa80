"""Paired bootstrap of drops in accuracy, over training seeds and over blocks of images. Imports no torch.

Images of one drive, sequence or room are no independent draws, so whole blocks of them are drawn (Künsch 1989), and
seeds beside them. A drop is paired: dense and reduced network have the same seed and see the same images. The interval
holds the middle 95% of the replicates (percentile method). With few seeds or blocks it is too narrow, and with one of
both it has no width: tables say how many there were.
"""

import warnings
from collections.abc import Sequence

import numpy as np

REPLICATES = 2000
LEVEL = (2.5, 97.5)  # percentiles at both ends of a 95% interval


def class_ious(matrices: np.ndarray) -> np.ndarray:
    """Intersection over union per class in points.

    Args:
        matrices: confusion matrices, labels in rows, (..., classes, classes).

    Returns:
        (..., classes), NaN where neither label nor prediction has the class.
    """
    hits = np.diagonal(matrices, axis1=-2, axis2=-1)
    union = matrices.sum(-1) + matrices.sum(-2) - hits
    return 100 * np.divide(hits, union, out=np.full(hits.shape, np.nan), where=union > 0)


def mean_ious(matrices: np.ndarray) -> np.ndarray:
    """Mean IoU in points, (...); classes absent from labels and predictions are left out."""
    return np.nanmean(class_ious(matrices), axis=-1)


def pixel_accuracies(matrices: np.ndarray) -> np.ndarray:
    """Share of labelled pixels predicted right in points, (...)."""
    hits = np.diagonal(matrices, axis1=-2, axis2=-1)
    return 100 * hits.sum(-1) / matrices.sum((-2, -1))


def all_measures(matrices: np.ndarray) -> np.ndarray:
    """Mean IoU, pixel accuracy and the IoU of each class, (..., 2 + classes), in points."""
    first = np.stack([mean_ious(matrices), pixel_accuracies(matrices)], axis=-1)
    return np.concatenate([first, class_ious(matrices)], axis=-1)


class Replicates:
    """Draws of blocks of images, the same for every network, so that their drops are paired.

    Attributes:
        blocks: names of the blocks, each once.
    """

    def __init__(self, blocks: Sequence[str], count: int = REPLICATES) -> None:
        """Draw the replicates.

        Args:
            blocks: the block of every image, (images,).
            count: how many replicates.
        """
        self.blocks, self._block_of = np.unique(np.asarray(blocks), return_inverse=True)
        number = len(self.blocks)
        drawn = np.random.default_rng(0).multinomial(number, np.full(number, 1 / number), count)
        # How often each replicate has each block, (1 + count, blocks); the first is the whole split.
        self._weights = np.concatenate([np.ones((1, number)), drawn])

    def measures(self, matrices: np.ndarray) -> np.ndarray:
        """The measures of one network on the whole split and in every replicate.

        Args:
            matrices: confusion matrix of every image, (images, classes, classes).

        Returns:
            (1 + replicates, measures); the whole split comes first.
        """
        classes = matrices.shape[-1]
        by_block = np.zeros((len(self.blocks), classes**2))
        np.add.at(by_block, self._block_of, matrices.reshape(len(matrices), -1))
        return all_measures((self._weights @ by_block).reshape(-1, classes, classes))


def drop_interval(dense: Sequence[np.ndarray], reduced: Sequence[np.ndarray]) -> np.ndarray:
    """Drop of every measure, mean over seeds, with its 95% interval.

    Args:
        dense: `Replicates.measures` of the dense network of every seed.
        reduced: those of the operating point, in the same order.

    Returns:
        (3, measures): drop, low and high in points; a drop is NaN where a class is absent from the split.
    """
    drops = np.stack(dense) - np.stack(reduced)  # (seeds, 1 + replicates, measures)
    seeds, count, _ = drops.shape
    drawn = np.random.default_rng(1).integers(seeds, size=(seeds, count - 1, 1))
    replicates = np.take_along_axis(drops[:, 1:], drawn, axis=0).mean(axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a class that is in no replicate
        low, high = np.nanpercentile(replicates, LEVEL, axis=0)
    return np.stack([drops[:, 0].mean(axis=0), low, high])
