"""Whether a dataset is still what stage `data` checked.

Beside `data.json` stands, in `data_files.json`, what every sample was: sizes and times of its files, which are compared
first, and a checksum, for where these moved. Imports no torch: the workflow plans with it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self

from paumer.config import Data
from paumer.data.catalogue import find_dataset, folder_of, stored_folder
from paumer.data.datasets import Dataset, Sample
from paumer.system.errors import PaumerError, printable
from paumer.system.files import name_below, read_bytes, read_json, stamp, write_text

RECORD = "data_files.json"
READERS = 8  # samples that are read at once
Now = Mapping[str, Mapping[tuple[str, str], tuple[Sample, list[int]]]]  # split -> names -> sample, sizes and times


class Seen(NamedTuple):
    """A sample as it was: its files below the dataset's folder, their sizes and times of change, and a checksum."""

    image: str
    label: str
    stamps: list[int]
    sha256: str

    @classmethod
    def of(cls, sample: Sample, root: Path) -> Self:
        """Look at a sample now."""
        stamps = _stamps(sample)  # before the bytes, so that no change goes unnoticed
        return cls(*_names(sample, root), stamps, _checksum(sample))


@dataclass(frozen=True)
class Record:
    """What stage `data` saw.

    Attributes:
        state: what `state` said before.
        folder: of the dataset, as `data.json` names it.
        meaning: of the values of its label maps.
        splits: the samples of every split.
    """

    state: str
    folder: str
    meaning: str
    splits: Mapping[str, Sequence[Seen]]

    @classmethod
    def beside(cls, manifest: Path) -> Self | None:
        """Read the record beside `data.json`; None where there is none, or one that is damaged."""
        try:
            content = read_json(manifest.with_name(RECORD), state=str, folder=str, meaning=str, splits=dict)
            splits = {split: [Seen(*row) for row in rows] for split, rows in content.pop("splits").items()}
            return cls(**content, splits=splits)
        except (PaumerError, TypeError):
            return None

    def write(self, manifest: Path) -> None:
        """Write it beside `data.json`."""
        write_text(manifest.with_name(RECORD), json.dumps(vars(self)))

    def first_change(self, dataset: Dataset, root: Path, now: Now) -> str | None:
        """What is not as it was, in a few words; None where these splits are."""
        if self.meaning != dataset.meaning:
            return f"{root}: its classes or their values were changed"
        for split, samples in now.items():
            before = {(seen.image, seen.label): seen for seen in self.splits.get(split, ())}
            for names in sorted(before.keys() ^ samples.keys()):
                return f"{root / names[0]}: it or its label was {'added' if names in samples else 'removed'}"
            moved = [names for names, (_, stamps) in samples.items() if stamps != before[names].stamps]
            with ThreadPoolExecutor(READERS) as pool:
                checksums = pool.map(_checksum, [samples[names][0] for names in moved])
                for names, checksum in zip(moved, checksums, strict=True):
                    if checksum != before[names].sha256:
                        return f"{root / names[0]}: it or its label was changed"
        return None

    def with_stamps(self, now: Now) -> Self:
        """The same contents of these splits under the sizes and times of now."""
        taken = {
            split: [seen._replace(stamps=samples[seen.image, seen.label][1]) for seen in self.splits[split]]
            for split, samples in now.items()
        }
        return replace(self, splits={**self.splits, **taken})


def state(data: Data, manifest: Path) -> str:
    """A text for the workflow, which is another one where the dataset is not what it was when it was checked.

    Where its folder is not there, there is nothing to compare with, and the text stays.
    """
    record, root = Record.beside(manifest), folder_of(data, manifest)
    if record is None:
        return ""
    if not root.is_dir():
        return record.state
    now: Now = {}
    try:
        dataset = find_dataset(data.dataset, root)
        now = {split: _look(dataset.samples(root, split), root) for split in (data.train_split, data.eval_split)}
        if record.folder == stored_folder(root, manifest):
            change = _first_change(record, manifest, dataset, root, now)
            if change is None:
                return record.state
        else:
            change = f"{root}: another folder"
        seen = [dataset.meaning, *((names, one[1]) for split in now.values() for names, one in split.items())]
    except PaumerError as error:  # stage `data` says it, too
        change, seen = str(error), []
    return f"{printable(change)} ({hashlib.sha256(repr(seen).encode(errors='backslashreplace')).hexdigest()[:12]})"


def require_unchanged(manifest: Path, dataset: Dataset, root: Path, split: str, samples: Sequence[Sample]) -> None:
    """Refuse a split that is not what the manifest describes.

    Raises:
        PaumerError: a file of it was changed, added or removed, or its labels mean something else.
    """
    record = Record.beside(manifest)
    if record is None or split not in record.splits:
        return
    change = _first_change(record, manifest, dataset, root, {split: _look(samples, root)})
    if change is not None:
        raise PaumerError(
            f"{change} since stage data checked it; run the workflow again, which measures anew what rests on it"
        )


def _first_change(record: Record, manifest: Path, dataset: Dataset, root: Path, now: Now) -> str | None:
    """As `Record.first_change`; where nothing but sizes and times moved, the record beside the manifest takes them."""
    change = record.first_change(dataset, root, now)
    if change is None and (refreshed := record.with_stamps(now)) != record:
        with suppress(PaumerError):  # results that may only be read stay as they are
            refreshed.write(manifest)
    return change


def _look(samples: Sequence[Sample], root: Path) -> dict[tuple[str, str], tuple[Sample, list[int]]]:
    """The samples by their names, with the sizes and times of now."""
    return {_names(sample, root): (sample, _stamps(sample)) for sample in samples}


def _names(sample: Sample, root: Path) -> tuple[str, str]:
    """Image and label, as they are called below the dataset's folder."""
    return name_below(sample.image, root), name_below(sample.label, root)


def _stamps(sample: Sample) -> list[int]:
    """Sizes and times of both files; -1 for one that is not there."""
    stamps: list[int] = []
    for path in (sample.image, sample.label):
        try:
            stamps += stamp(path)
        except OSError:
            stamps += [-1]
    return stamps


def _checksum(sample: Sample) -> str:
    """Of the bytes of both files; empty where one cannot be read."""
    try:
        return hashlib.sha256(read_bytes(sample.image) + read_bytes(sample.label)).hexdigest()
    except OSError:
        return ""
