"""Stage `data`: find, draw or fetch a dataset, read every file once, and describe it in `data.json`.

Also fetching a dataset once, for all experiments.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from paumer.config.base import IGNORE
from paumer.config.network import Data
from paumer.data.archives import fetch, read_source
from paumer.data.catalogue import (
    CLASS_LIST,
    FOLDER,
    REQUIRED_FILES,
    all_datasets,
    described_folder,
    find_dataset,
    folder_of,
    named_folder,
    stored_folder,
)
from paumer.data.datasets import REST, SELECT, Dataset, Sample, to_hex
from paumer.data.images import read_sample
from paumer.data.manifest import Record, SampleRecord, state
from paumer.data.scenes import generate
from paumer.system.errors import PaumerError, printable
from paumer.system.files import read_json, require_folder, require_writable, write_json, writing_folder
from paumer.system.locks import lock, lock_path
from paumer.system.progress import progress

MOST_IGNORED = 0.05  # of the pixels; more are worth a note where the user did not list them as ignored
NAMED = 5  # classes or files in a note


def prepare(data: Data, output: Path, threads: int) -> None:
    """Make the dataset ready and write its manifest to `output`.

    Every image and label is decoded and checked here, so that no later stage fails on one.

    Raises:
        PaumerError: the dataset is missing, a file of it is not what it should be, a split has no labels, or that to
            choose on has images of another.
    """
    require_writable(output, ".json")
    before, folder = state(data, output), folder_of(data, output)
    _locate(data, folder, threads)
    dataset = find_dataset(data.dataset, folder)
    _require_apart(data, dataset, folder)
    checked = [check_split(dataset, folder, split, threads) for split in data.splits]
    notes = [note for split in checked for note in split.notes(dataset)]
    for note in notes:
        print(f"note: {note}", flush=True)
    fetched = (read_source(folder) or {}).get("archives", []) if dataset.download else []
    archives = ", ".join(f"{archive['name']} (sha256 {archive['sha256']})" for archive in fetched)
    stored = stored_folder(folder, output)
    Record(before, stored, dataset.meaning, {split.name: split.records for split in checked}).write(output)
    write_json(
        output,
        {
            "dataset": dataset.name,
            "folder": stored,
            **dataset.terms,
            **({"caution": dataset.caution} if dataset.caution else {}),
            **({"archives": archives} if archives else {}),
            "classes": list(dataset.classes),
            "splits": {split.name: split.described(dataset) for split in checked},
            **({"notes": notes} if notes else {}),
        },
    )


def write_colours(manifest: Path, output: Path) -> None:
    """Stage `colours`: write the colour of every class. No part of `data.json`, since no measurement depends on it.

    Raises:
        PaumerError: `manifest` is no manifest, or its dataset is missing.
    """
    content = read_json(manifest, dataset=str, folder=str)
    dataset = find_dataset(content["dataset"], described_folder(manifest, content["folder"]))
    write_json(output, dict(zip(dataset.classes, map(to_hex, dataset.colours), strict=True)))


def fetch_dataset(name: str, folder: Path, processes: int) -> None:
    """Fetch a dataset into a folder for all experiments, unless it is there, and complete it; resumable.

    Raises:
        PaumerError: there is no such dataset to fetch, it cannot be fetched, or a tool is missing.
    """
    dataset = all_datasets().get(name)
    if dataset is None or dataset.download is None:
        fetched = ", ".join(name for name, dataset in all_datasets().items() if dataset.download)
        raise PaumerError(f"{name}: no dataset that is fetched; use {fetched}")
    folder = folder.expanduser().resolve()
    require_folder(folder)
    finish = dataset.finishing() if dataset.finishing else None
    if read_source(folder) is None and dataset.layout.image_folder(folder, "train").is_dir():
        print(f"{folder}: {name} is there already", flush=True)
    else:
        fetch(dataset.download, folder, dataset.terms, dataset.manual_instructions)
    if finish is not None:
        finish(folder, processes)
    print(f"{folder}: ready; name it in data.folder or PAUMER_DATA")


def _locate(data: Data, folder: Path, processes: int) -> None:
    """Draw or fetch the dataset into its folder, unless it is there or the user named the folder.

    Raises:
        PaumerError: there is no folder, and nothing that could be drawn or fetched.
    """
    if data.dataset == "scenes":
        require_folder(folder)
        _draw_scenes(data, folder, processes)
    elif named_folder(data) is None and data.dataset == FOLDER:
        raise PaumerError(f"data.folder: not set; name a folder there or in PAUMER_DATA that has {REQUIRED_FILES}")
    elif named_folder(data) is None:
        dataset = find_dataset(data.dataset, folder)
        if dataset.download is None:
            raise PaumerError(f"data.folder: not set, and {dataset.name} is not fetched; {dataset.manual_instructions}")
        fetch(dataset.download, folder, dataset.terms, dataset.manual_instructions)


def _require_apart(data: Data, dataset: Dataset, root: Path) -> None:
    """Refuse a split to choose on that has images of those trained or reported on.

    Raises:
        PaumerError: it has.
    """
    if data.select_split is None:
        return
    chosen = {sample.image for sample in dataset.samples(root, data.select_split)}
    for split in (data.train_split, data.eval_split):
        shared = sum(sample.image in chosen for sample in dataset.samples(root, split))
        if shared:
            raise PaumerError(
                f"data.select_split: {data.select_split} has {shared} images of {split}; name splits without common "
                f"images{f', such as {REST} and {SELECT}' if dataset.select_every else ''}"
            )


def _draw_scenes(data: Data, folder: Path, processes: int) -> None:
    """Draw the scenes unless the folder already holds the same ones.

    Raises:
        PaumerError: the folder holds something else, which drawing would replace.
    """
    wanted = data.scenes.model_dump()
    recipe = folder / "scenes.json"
    if recipe.exists() and read_json(recipe) == wanted:
        return
    if folder.exists() and any(folder.iterdir()) and not recipe.exists():
        raise PaumerError(f"{folder}: holds files that are no scenes; name an empty or new folder in data.folder")
    drawing = lock(lock_path(folder), f"{folder}: another process draws scenes here")
    with drawing, writing_folder(folder) as temporary:
        generate(temporary, **wanted, processes=processes)
        write_json(temporary / recipe.name, wanted)


@dataclass
class Split:
    """Contents of a split.

    Attributes:
        name: of the split.
        images: number of images.
        pixels: number of pixels of every class id, (256,).
        unlabelled: label maps without a labelled pixel, below the dataset's folder.
        left_out: files in the image folder whose names are not those of images, below the dataset's folder.
        records: the samples as they were read.
        sha256: of the names and bytes of all files, and of what they mean.
    """

    name: str
    images: int
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    unlabelled: list[Path] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)
    records: list[SampleRecord] = field(default_factory=list)
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
        """Share of ignored pixels."""
        return float(self.pixels[IGNORE] / max(1, self.pixels.sum()))

    def notes(self, dataset: Dataset) -> list[str]:
        """Findings that may be intended, but should be known if they are not."""
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
            endings = ", ".join(dataset.layout.image_endings)
            found.append(f"left out, for images end in {endings}: {_listed(self.left_out)}")
        return [printable(f"split {self.name}: {text}") for text in found]


def check_split(dataset: Dataset, root: Path, split: str, threads: int) -> Split:
    """Read every sample of a split; count images and pixels per class, and take a checksum of all files.

    Raises:
        PaumerError: a sample cannot be read, no pixel is labelled, or an ignored value is surely meant as a class.
    """
    samples = dataset.samples(root, split)
    others = dataset.left_out(root, split)
    checked = Split(split, len(samples), left_out=[path.relative_to(root) for path in others])
    with ThreadPoolExecutor(max(1, threads)) as pool:
        read = pool.map(lambda sample: _read(dataset, root, sample), samples)
        shown = progress(read, title=f"checking {split}", total=len(samples))
        for (counts, record), sample in zip(shown, samples, strict=True):
            checked.pixels += counts
            checked.records.append(record)
            if not counts[:IGNORE].any():
                checked.unlabelled.append(sample.label.relative_to(root))
    content = [dataset.meaning, *((record.image, record.sha256) for record in checked.records)]
    checked.sha256 = hashlib.sha256(repr(content).encode(errors="backslashreplace")).hexdigest()
    _require_classes(dataset, root, checked)
    return checked


def _read(dataset: Dataset, root: Path, sample: Sample) -> tuple[np.ndarray, SampleRecord]:
    """Pixels of every class id, (256,), and the record of the sample."""
    record = SampleRecord.of(sample, root)
    _, label = read_sample(sample, dataset)
    return np.bincount(label.reshape(-1), minlength=256), record


def _require_classes(dataset: Dataset, root: Path, split: Split) -> None:
    """Refuse a split without classes to tell apart.

    Raises:
        PaumerError: no pixel is labelled, or all labelled ones are of one class and the others ignored by default, as
            with masks of 0 and 255.
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
    """The first items, and the number of others."""
    more = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return ", ".join(map(str, items[:NAMED])) + more
