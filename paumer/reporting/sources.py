"""Result folders as sources of a board: what each measured, and on which machine, data, settings and code it rests."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from paumer.reporting.frames import NETWORK
from paumer.reporting.reading import refuse_mixed_data, result_folder
from paumer.reporting.tables.main import KEYS, add_drop, read_accuracy
from paumer.reporting.timings import THROUGHPUT, read_throughput
from paumer.strategies.registry import SMALLER_BACKBONE
from paumer.system.errors import PaumerError
from paumer.system.files import RUN, ExperimentFiles, read_json, sha256

# What tells rows of equal operating points apart: they are pooled over seeds only where all of these are equal.
KNOWN = ["data", "settings", "revision"]
SELECTED = ["select_miou", "select_drop"]
# Settings that say where and how a run was computed, and not what.
INCIDENTAL = {"seed", "device", "device_batch", "workers", "cache", "tensorboard", "checkpoint_minutes"}


@dataclass(frozen=True)
class Source:
    """A result folder.

    Attributes:
        name: the folder as it was named.
        files: its files.
    """

    name: str
    files: ExperimentFiles

    @classmethod
    def of(cls, folder: Path) -> "Source":
        """The source in a folder.

        Raises:
            PaumerError: it is no result folder, holds nothing measured, or its files rest on different data.
        """
        files = result_folder(folder)
        measured = [path for path in (files.accuracy, files.throughput) if path.exists()]
        if not measured:
            raise PaumerError(f"{folder}: holds neither accuracy.csv nor throughput.csv; run the workflow first")
        refuse_mixed_data([files.manifest, *measured])
        return cls(str(folder), files)

    @property
    def _origin(self) -> dict[str, str]:
        return {"source": self.name, "experiment": self.files.folder.resolve().name}

    @cached_property
    def accuracy(self) -> pd.DataFrame:
        """Accuracy by seed, with `drop`, the columns of `KNOWN`, `source`, `experiment`, `machine` (that trained), and
        `SELECTED` where points are chosen on a split of their own; empty where none was measured.

        Raises:
            PaumerError: a file is unusable, was changed, or a run lacks its records.
        """
        path = self.files.accuracy
        if not path.exists():
            return pd.DataFrame(columns=[*KEYS, "seed", "miou", "drop", "source", "experiment", "machine", *KNOWN])
        recorded = read_json(path.with_suffix(".json")).get("sha256")
        if recorded is not None and recorded != sha256(path):
            raise PaumerError(f"{path}: changed since it was measured; run its stage again")
        table = add_drop(read_accuracy([path]), "miou", [*NETWORK, "seed"]).astype({"seed": int})
        select = path.with_name(f"select_{path.name}")
        if select.exists():
            chosen = add_drop(read_accuracy([select]), "miou", [*NETWORK, "seed"]).astype({"seed": int})
            renamed = chosen.rename(columns=dict(zip(("miou", "drop"), SELECTED, strict=True)))
            table = table.merge(renamed[[*KEYS, "seed", *SELECTED]], how="left", on=[*KEYS, "seed"])
        known = pd.DataFrame([self._known(row) for row in table.to_dict("records")], index=table.index)
        return table.drop(columns="experiment", errors="ignore").assign(**self._origin).join(known)

    @cached_property
    def speeds(self) -> pd.DataFrame:
        """The rows of throughput.csv, with `source`, `experiment`, `machine` and `revision`; empty where there is none.

        Raises:
            PaumerError: a file is unusable, or the record of the machine is that of another device.
        """
        if not self.files.throughput.exists():
            return pd.DataFrame(columns=[*THROUGHPUT, "source", "experiment", "machine", "revision"])
        table = read_throughput(self.files.throughput)
        record = read_json(self.files.machine, code=dict, environment=dict)
        device = record["environment"].get("device")
        if other := set(table["device"]) - {device}:
            raise PaumerError(
                f"{self.files.machine}: environment.device is {device!r}, but {self.files.throughput.name} was timed "
                f"on {min(other)!r}; put the record beside it that was written with it"
            )
        revision = str(record["code"].get("revision"))
        return table.assign(**self._origin, machine=machine(record["environment"]), revision=revision)

    @cached_property
    def runs(self) -> dict[str, dict[str, Any]]:
        """Of every run behind the accuracy, by the name of its folder: environment, code, data and settings.

        Raises:
            PaumerError: a record is missing or unusable.
        """
        rows = self.accuracy_rows
        return {name: self._run(name) for name in dict.fromkeys(name for row in rows for name in names_of(row))}

    @cached_property
    def accuracy_rows(self) -> list[dict[Any, Any]]:
        """Which network and seed the rows of accuracy.csv are of."""
        if not self.files.accuracy.exists():
            return []
        return read_accuracy([self.files.accuracy])[[*KEYS, "seed"]].to_dict("records")

    def _run(self, name: str) -> dict[str, Any]:
        folder = self.files.folder / name
        run = read_json(folder / RUN, code=dict, environment=dict, settings=dict, data_sha256=str)
        evaluation = read_json(folder / "accuracy.json", code=dict, settings=dict, data=dict)
        split = evaluation["settings"].get("split")
        if split not in evaluation["data"]:
            raise PaumerError(f"{folder / 'accuracy.json'}: key 'data' lacks split {split!r}; evaluate the run again")
        shared = folder.parents[1] / "shared" / folder.name / RUN
        start = read_json(shared, settings=dict)["settings"] if shared.exists() else None
        return {
            "environment": run["environment"],
            "revisions": [str(part["code"].get("revision")) for part in (run, evaluation)],
            "data": {"trained on": run["data_sha256"], "evaluated on": evaluation["data"][split]},
            "settings": {
                "training": essential(run["settings"]),
                "start": essential(start),
                "evaluation": essential(evaluation["settings"].get("evaluation")),
            },
        }

    def _known(self, row: Mapping[Any, Any]) -> dict[str, str]:
        """Columns of a row of accuracy: those of `KNOWN`, of its run and of dense beside it, and `machine`."""
        runs = [self.runs[name] for name in names_of(row)]
        revisions = dict.fromkeys(revision for run in runs for revision in run["revisions"])
        return {
            "machine": machine(runs[0]["environment"]),
            "data": digest([run["data"] for run in runs]),
            "settings": digest([run["settings"] for run in runs]),
            "revision": "/".join(revisions),
        }

    def describe(self) -> dict[str, Any]:
        """What sources.json says: checksums of files, what timed, which runs each key of `KNOWN` names, all runs."""
        files = [self.files.accuracy, self.files.throughput, self.files.machine, self.files.manifest]
        timed = read_json(self.files.machine) if self.files.throughput.exists() else {}
        rows = self.accuracy
        groups: dict[tuple[str, ...], dict[str, None]] = {}
        for row in rows.to_dict("records"):
            groups.setdefault(tuple(row[name] for name in KNOWN), {})[names_of(row)[0]] = None
        return {
            **self._origin,
            "sha256": {path.name: sha256(path) for path in files if path.exists()},
            "timed": {name: timed.get(name) for name in ("code", "environment", "data")},
            "pooled": [dict(zip(KNOWN, key, strict=True)) | {"runs": list(found)} for key, found in groups.items()],
            "runs": self.runs,
        }


def names_of(row: Mapping[Any, Any]) -> tuple[str, str]:
    """The folders of the run that a row of accuracy is of, and of the dense one that its drop is counted from."""
    backbone = row["schedule"] if row["strategy"] == SMALLER_BACKBONE else row["backbone"]
    seed = f"seed{int(row['seed'])}"
    return f"runs/{backbone}/{row['recipe']}/{seed}", f"runs/{row['backbone']}/dense/{seed}"


def machine(environment: Mapping[str, Any]) -> str:
    """A machine's name: the device, and the driver of a GPU or the instructions of a processor."""
    found = [environment.get("device"), environment.get("driver") or environment.get("instructions")]
    return "; ".join(str(part) for part in found if part)


def digest(parts: Sequence[Any]) -> str:
    """A short name of what is equal in all rows that have it; each part counts once."""
    texts = dict.fromkeys(json.dumps(part, sort_keys=True) for part in parts)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def essential(settings: Any) -> Any:
    """Settings without those that are `INCIDENTAL`, at any depth."""
    if isinstance(settings, dict):
        return {name: essential(value) for name, value in settings.items() if name not in INCIDENTAL}
    return [essential(value) for value in settings] if isinstance(settings, list) else settings


def read_sources(folders: Sequence[Path]) -> list[Source]:
    """The sources in several folders.

    Raises:
        PaumerError: one is unusable, or named twice.
    """
    seen: set[Path] = set()
    for folder in folders:
        if folder.resolve() in seen:
            raise PaumerError(f"{folder}: is named twice; name each folder once")
        seen.add(folder.resolve())
    return [Source.of(folder) for folder in folders]
