"""Decoded samples on a fast disk, or in memory where the folder is (`/dev/shm`)."""

import hashlib
from pathlib import Path

import numpy as np

from paumer.data.datasets import Dataset, Sample
from paumer.data.reading import read_sample
from paumer.errors import PaumerError
from paumer.files import stamp, writing


def read_cached(sample: Sample, dataset: Dataset, folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """As `read_sample`, from the folder where the sample is there; otherwise it is put there.

    Files are written whole or not at all, so any number of processes may share the folder. A file belongs to what its
    image and label were when it was made; where they change another takes its place.

    Raises:
        PaumerError: the sample cannot be read, or the folder cannot be written.
    """
    if folder is None or not (sample.image.exists() and sample.label.exists()):
        return read_sample(sample, dataset)
    path = folder / f"{_key(sample, dataset)}.npy"
    try:
        planes = np.load(path)
    except (OSError, ValueError, EOFError):  # not there yet, or damaged
        image, label = read_sample(sample, dataset)
        planes = np.concatenate([image.transpose(2, 0, 1), label[None]])
        try:
            with writing(path) as temporary:
                np.save(temporary, planes)
        except PaumerError as error:
            raise PaumerError(f"{error}, or name another folder in training.options.cache, or none") from None
    return planes[:3].transpose(1, 2, 0), planes[3]


def _key(sample: Sample, dataset: Dataset) -> str:
    """A name for what the files of a sample hold now, and for what the dataset makes of it."""
    paths = (sample.image.resolve(), sample.label.resolve())
    files = [(str(path), *stamp(path)) for path in paths]
    return hashlib.sha256(repr((files, dataset.class_of_value(sample.label).tobytes())).encode()).hexdigest()[:32]
