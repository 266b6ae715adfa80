"""Read every sample of a split once: what it holds, and what a person should know of it."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from paumer.config.base import IGNORE
from paumer.data.catalogue import CLASS_LIST
from paumer.data.changes import Seen
from paumer.data.datasets import Dataset, Sample
from paumer.data.reading import read_sample
from paumer.system.errors import PaumerError, printable
from paumer.system.progress import progress

MOST_IGNORED = 0.05  # of the pixels; more are worth a note where nobody asked to ignore them
NAMED = 5  # classes or files in a note


@dataclass
class Split:
    """What a split holds.

    Attributes:
        name: of the split.
        images: how many.
        pixels: of every class id, (256,).
        unlabelled: label maps without a labelled pixel, below the dataset's folder.
        left_out: files among the images that are none by their names, below the dataset's folder.
        seen: the samples as they were read.
        sha256: of the names and bytes of all files, and of what they mean.
    """

    name: str
    images: int
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    unlabelled: list[Path] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    sha256: str = ""

    def described(self, dataset: Dataset) -> dict[str, Any]:
        """Numbers of images and pixels, and the checksum, for `data.json`."""
        classes = self.pixels[: len(dataset.classes)]
        shares = [round(float(count) / max(1, int(classes.sum())), 6) for count in classes]
        return {
            "images": self.images,
            "class_frequencies": dict(zip(dataset.classes, shares, strict=True)),
            "ignored": round(self.ignored, 6),
            "sha256": self.sha256,
        }

    @property
    def ignored(self) -> float:
        """Share of the pixels that do not count."""
        return float(self.pixels[IGNORE] / max(1, self.pixels.sum()))

    def notes(self, dataset: Dataset) -> list[str]:
        """What may be meant, and should be known if it is not."""
        found = []
        absent = [f"{name!r}" for name, count in zip(dataset.classes, self.pixels, strict=False) if not count]
        if absent:
            found.append(f"no pixel is of class {_listed(absent)}")
        if dataset.unasked and self.ignored > MOST_IGNORED:
            found.append(
                f"{self.ignored:.1%} of the pixels are ignored: they have the value {_listed(dataset.unasked)}, which "
                f"{CLASS_LIST} names neither under `classes` nor under `ignored`"
            )
        if self.unlabelled:
            few = _listed(self.unlabelled)
            found.append(f"{len(self.unlabelled)} of {self.images} label maps have no labelled pixel: {few}")
        if self.left_out:
            endings = ", ".join(dataset.image_endings)
            found.append(f"left out, for images end in {endings}: {_listed(self.left_out)}")
        return [printable(f"split {self.name}: {text}") for text in found]


def check_split(dataset: Dataset, root: Path, split: str, threads: int) -> Split:
    """Read every sample of a split; count images and pixels per class, and take a checksum of all files.

    Raises:
        PaumerError: a sample cannot be read, no pixel is labelled, or what is ignored is surely meant as a class.
    """
    samples = dataset.samples(root, split)
    others = dataset.left_out(root, split, [sample.image for sample in samples])
    checked = Split(split, len(samples), left_out=[path.relative_to(root) for path in others])
    with ThreadPoolExecutor(max(1, threads)) as pool:
        read = pool.map(lambda sample: _read(dataset, root, sample), samples)
        shown = progress(read, title=f"checking {split}", total=len(samples))
        for (counts, seen), sample in zip(shown, samples, strict=True):
            checked.pixels += counts
            checked.seen.append(seen)
            if not counts[:IGNORE].any():
                checked.unlabelled.append(sample.label.relative_to(root))
    content = [dataset.meaning, *((seen.image, seen.sha256) for seen in checked.seen)]
    checked.sha256 = hashlib.sha256(repr(content).encode(errors="backslashreplace")).hexdigest()
    _require_classes(dataset, root, checked)
    return checked


def _read(dataset: Dataset, root: Path, sample: Sample) -> tuple[np.ndarray, Seen]:
    """Pixels of every class id, and the sample as it was when they were counted."""
    seen = Seen.of(sample, root)
    _, label = read_sample(sample, dataset)
    return np.bincount(label.reshape(-1), minlength=256), seen


def _require_classes(dataset: Dataset, root: Path, split: Split) -> None:
    """Refuse a split that nothing can be learnt from, or measured on.

    Raises:
        PaumerError: no pixel is labelled; or all are of one class but for those that nobody asked to ignore, as of
            masks that hold 0 and 255.
    """
    present = np.flatnonzero(split.pixels[:IGNORE])
    if not len(present):
        values = dataset.describe_values(split.unlabelled[0])
        raise PaumerError(
            f"{root}: no pixel of split {split.name!r} is labelled: its label maps hold ignored values alone (classes: "
            f"{values}), which are {_listed(split.unlabelled)}; correct them, or use another split"
        )
    if len(present) == 1 and split.ignored and dataset.unasked:
        own = next(value for value, number in dataset.encodings[".png"].items() if number == present[0])
        name, others = dataset.classes[present[0]], [*dataset.classes]
        others.remove(name)
        [other] = others if len(others) == 1 else ["NAME"]
        [unasked] = dataset.unasked
        raise PaumerError(
            f"{root}: label maps of split {split.name!r} hold the values {own} and {unasked} alone, and {unasked} is "
            f"ignored unless {CLASS_LIST} says more; if it is a class, write classes: {{{own}: {name}, {unasked}: "
            f"{other}}} there, and if it is none, ignored: [{unasked}]"
        )


def _listed(items: Sequence[object]) -> str:
    """The first of some items, and how many more there are."""
    more = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return ", ".join(map(str, items[:NAMED])) + more
