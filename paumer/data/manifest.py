"""The manifest of a dataset, `data.json`, and whether the dataset is still what stage `data` checked.

`data_files.json` beside it records every sample: sizes and times of its files, which are compared first, and a
checksum, which decides where these differ. Imports no torch: the workflow plans with it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from paumer.config.network import Data
from paumer.data.catalogue import described_folder, find_dataset, folder_of, known_colours, stored_folder
from paumer.data.datasets import Dataset, Sample, to_hex
from paumer.system.errors import PaumerError, printable
from paumer.system.files import name_below, read_bytes, read_json, stamp, write_text

RECORD = "data_files.json"
READERS = 8  # samples that are read at once
Names = tuple[str, str]  # of image and label, below the dataset's folder
Current = Mapping[str, Mapping[Names, tuple[Sample, list[int]]]]  # split -> names -> sample, sizes and times


def samples(manifest: Path, split: str) -> tuple[Dataset, list[Sample]]:
    """The dataset and the samples of a split that a manifest describes.

    Raises:
        PaumerError: the dataset is missing, or a file or a label's meaning differs from what the manifest describes.
    """
    content = read_json(manifest, dataset=str, folder=str)
    root = described_folder(manifest, content["folder"])
    dataset = find_dataset(content["dataset"], root)
    found = dataset.samples(root, split)
    record = Record.beside(manifest)
    if record is not None and split in record.splits:
        change = record.first_change(manifest, dataset, root, {split: _current(found, root)})
        if change is not None:
            raise PaumerError(
                f"{change} since stage data checked it; run the workflow again, which measures anew what rests on it"
            )
    return dataset, found


def split_info(manifest: Path, split: str, classes: int) -> dict[str, Any]:
    """The entry of a split in a manifest: `class_frequencies` of all classes and, in newer ones, `sha256`.

    Raises:
        PaumerError: there is none, or it is of other classes.
    """
    described = read_json(manifest, splits=dict)["splits"].get(split)
    frequencies = described.get("class_frequencies") if isinstance(described, dict) else None
    shares = list(frequencies.values()) if isinstance(frequencies, dict) else []
    if len(shares) != classes or not all(isinstance(share, int | float) and 0 <= share <= 1 for share in shares):
        raise PaumerError(
            f"{manifest}: describes no {classes} classes of split {split!r}; run stage data again for this experiment"
        )
    return described


def colours_now(data: Data, manifest: Path) -> str:
    """The colours of the classes as text; where it changes, the workflow draws the pictures again."""
    return " ".join(map(to_hex, known_colours(data.dataset, folder_of(data, manifest), manifest)))


def state(data: Data, manifest: Path) -> str:
    """A text for the workflow that changes where the dataset differs from what stage `data` checked.

    Without a record there is nothing to compare; where the folder is missing, the text stays.
    """
    record, root = Record.beside(manifest), folder_of(data, manifest)
    if record is None:
        return ""
    if not root.is_dir():
        return record.state
    try:
        dataset = find_dataset(data.dataset, root)
        now = {split: _current(dataset.samples(root, split), root) for split in data.splits}
        if record.folder == stored_folder(root, manifest):
            change = record.first_change(manifest, dataset, root, now)
            if change is None:
                return record.state
        else:
            change = f"{root}: another folder"
        seen = [dataset.meaning, *((names, one[1]) for split in now.values() for names, one in split.items())]
    except PaumerError as error:  # which stage `data` will raise, too
        change, seen = str(error), []
    return f"{printable(change)} ({hashlib.sha256(repr(seen).encode(errors='backslashreplace')).hexdigest()[:12]})"


class SampleRecord(NamedTuple):
    """A sample when it was checked: names below the dataset's folder, sizes and times, a checksum of both files.

    And the block that it is of; empty in records of before there were any.
    """

    image: str
    label: str
    stamps: list[int]
    sha256: str
    block: str = ""

    @classmethod
    def of(cls, sample: Sample, root: Path) -> Self:
        """Record a sample as it is now."""
        stamps = _stamps(sample)  # before the bytes are read, so that no change goes unnoticed
        return cls(*_names(sample, root), stamps, _checksum(sample), sample.block)


@dataclass(frozen=True)
class Record:
    """What stage `data` read.

    Attributes:
        state: the result of `state` before it ran.
        folder: of the dataset, as `data.json` names it.
        meaning: `Dataset.meaning`, a checksum of classes and encodings.
        splits: the samples of every split.
    """

    state: str
    folder: str
    meaning: str
    splits: Mapping[str, Sequence[SampleRecord]]

    @classmethod
    def beside(cls, manifest: Path) -> Self | None:
        """Read the record beside `data.json`; None where it is missing or damaged."""
        try:
            content = read_json(manifest.with_name(RECORD), state=str, folder=str, meaning=str, splits=dict)
            splits = {split: [SampleRecord(*row) for row in rows] for split, rows in content.pop("splits").items()}
            return cls(**content, splits=splits)
        except (PaumerError, TypeError):
            return None

    def write(self, manifest: Path) -> None:
        """Write the record beside `data.json`."""
        write_text(manifest.with_name(RECORD), json.dumps(vars(self)))

    def first_change(self, manifest: Path, dataset: Dataset, root: Path, now: Current) -> str | None:
        """The first difference between the record and the given splits, in a few words; None where there is none.

        Where only sizes and times differ, the record beside `manifest` is updated.
        """
        if self.meaning != dataset.meaning:
            return f"{root}: its classes or their values were changed"
        touched = False
        for split, current in now.items():
            before = {(record.image, record.label): record for record in self.splits.get(split, ())}
            for names in sorted(before.keys() ^ current.keys()):
                return f"{root / names[0]}: it or its label was {'added' if names in current else 'removed'}"
            moved = [names for names, (_, stamps) in current.items() if stamps != before[names].stamps]
            touched = touched or bool(moved)
            with ThreadPoolExecutor(READERS) as pool:
                checksums = pool.map(_checksum, [current[names][0] for names in moved])
                for names, checksum in zip(moved, checksums, strict=True):
                    if checksum != before[names].sha256:
                        return f"{root / names[0]}: it or its label was changed"
        if touched:
            stamped = {
                split: [record._replace(stamps=current[record.image, record.label][1]) for record in self.splits[split]]
                for split, current in now.items()
            }
            with suppress(PaumerError):  # results may be read-only
                replace(self, splits={**self.splits, **stamped}).write(manifest)
        return None


def _current(found: Sequence[Sample], root: Path) -> dict[Names, tuple[Sample, list[int]]]:
    return {_names(sample, root): (sample, _stamps(sample)) for sample in found}


def _names(sample: Sample, root: Path) -> Names:
    return name_below(sample.image, root), name_below(sample.label, root)


def _stamps(sample: Sample) -> list[int]:
    """Sizes and times of both files; -1 for a missing one."""
    stamps: list[int] = []
    for path in (sample.image, sample.label):
        try:
            stamps += stamp(path)
        except OSError:
            stamps += [-1]
    return stamps


def _checksum(sample: Sample) -> str:
    """Checksum of the bytes of both files; empty where one cannot be read."""
    try:
        return hashlib.sha256(read_bytes(sample.image) + read_bytes(sample.label)).hexdigest()
    except OSError:
        return ""
