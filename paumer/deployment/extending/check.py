"""`paumer check`: does a strategy, criterion or dataset keep what every one keeps? One line per check."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from paumer.config.base import IGNORE
from paumer.data.catalogue import all_datasets
from paumer.data.datasets import Dataset
from paumer.deployment.extending.conformance import CHECKS, Check, examples_of, random_images, random_network
from paumer.models.segmenter import Segmenter
from paumer.strategies.criteria import CRITERIA
from paumer.strategies.declared import load_plugin
from paumer.strategies.registry import REGISTRY, OperatingPoint, operating_point
from paumer.system.errors import PaumerError, summary
from paumer.system.plugins import BROUGHT

BY_CRITERION = ("3:0.4", "3@0.9+6@0.9")  # schedules at which a criterion is checked
OK, SKIP, FAIL = "ok", "skip", "FAIL"


class Finding(NamedTuple):
    """What a check found: `ok`, `skip` with why it does not apply, or `FAIL` with what is wrong."""

    result: str
    of: str
    check: str
    reason: str = ""

    def __str__(self) -> str:
        """A line for the terminal."""
        return f"{self.result:5} {self.of}: {self.check}" + (f": {self.reason}" if self.reason else "")


def check(target: str | None) -> None:
    """Print what the checks of a strategy, criterion, dataset or file find; without a name, what plug-ins brought.

    Raises:
        PaumerError: the name is unknown, the file cannot be loaded, or a check failed.
    """
    if target is None:
        lines = [f"{kind} {name}: {plugin.name} {plugin.state}" for (kind, name), plugin in BROUGHT.items()]
        print("\n".join(lines) or "no plug-ins; name a registered strategy or criterion, or a file")
        return
    results = []
    with warnings.catch_warnings(action="ignore"):  # of torch, on what it traces and compiles
        for finding in findings(target):
            print(finding, flush=True)
            results.append(finding.result)
    if failed := results.count(FAIL):
        raise PaumerError(f"{target}: {failed} of {len(results)} checks failed; see the lines marked FAIL above")


def findings(target: str) -> Iterator[Finding]:
    """Run all checks on a registered name, or on all that a file declares.

    Raises:
        PaumerError: the name is unknown, or the file cannot be loaded.
    """
    points, datasets = _chosen(target)
    network, images = random_network(), random_images()
    for point in points:
        called = f"{point} by {point.criterion}" if point.criterion else str(point)
        yield from (_run(name, one, called, network, images, point) for name, one in CHECKS.items())
    for dataset in datasets:
        yield from _of_dataset(dataset)


def _chosen(target: str) -> tuple[list[OperatingPoint], list[Dataset]]:
    """Operating points and datasets to check."""
    if target.endswith(".py") or Path(target).is_file():
        path = load_plugin(target)
        names = [key for key, plugin in BROUGHT.items() if not plugin.version and plugin.name == path.name]
    else:
        known = {"strategy": REGISTRY, "criterion": CRITERIA, "dataset": all_datasets()}
        names = [(kind, target) for kind, table in known.items() if target in table]  # type: ignore[misc, operator]
        if not names:
            raise PaumerError(f"{target}: no registered strategy, criterion or dataset, and no file; name one of them")
    strategies = [point for kind, name in names if kind == "strategy" for point in examples_of(name)]
    criteria = [
        operating_point("pause", name, text) for kind, name in names if kind == "criterion" for text in BY_CRITERION
    ]
    return strategies + criteria, [all_datasets()[name] for kind, name in names if kind == "dataset"]


def _run(
    name: str, one: Check, called: str, network: Segmenter, images: torch.Tensor, point: OperatingPoint
) -> Finding:
    try:
        reason = one(network, images, point)
    except PaumerError as error:
        return Finding(FAIL, called, name, str(error))
    except Exception as error:  # whatever the strategy does wrong
        return Finding(FAIL, called, name, f"{type(error).__name__}: {summary(error)}")
    return Finding(SKIP if reason else OK, called, name, reason)


def _of_dataset(dataset: Dataset) -> Iterator[Finding]:
    """What can be said of a dataset without its files."""
    count = len(dataset.classes)
    values = {value for encoding in dataset.encodings.values() for value in encoding.values()}
    for name, fine, reason in (
        ("classes have different names", len(set(dataset.classes)) == count > 1, f"{count} classes"),
        ("every class has a colour", len(dataset.colours) == count, f"{len(dataset.colours)} for {count} classes"),
        ("label values are classes or ignored", values <= {*range(count), IGNORE}, f"values {sorted(values)}"),
        ("every class has a label value", set(range(count)) <= values, f"values {sorted(values)}"),
        ("licence and citation are named", bool(dataset.licence and dataset.citation), "one is empty"),
    ):
        yield Finding(OK, dataset.name, name) if fine else Finding(FAIL, dataset.name, name, reason)
