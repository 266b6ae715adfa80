"""Two tiers of tests: `pytest` runs each kind of case once, `pytest -m exhaustive` its further variants."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings

exhaustive = pytest.mark.exhaustive
EXAMPLES = 100  # of a property, in the exhaustive tier


def first(cases: Iterable[Any], count: int = 1, kind: Callable[[Any], Any] = lambda case: None) -> list[Any]:
    """Cases for `parametrize`, a tuple for several arguments; all but the first `count` of a kind are exhaustive."""
    seen: Counter[Any] = Counter()
    marked = []
    for case in cases:
        seen[kind(case)] += 1
        marked.append(_marked(case, seen[kind(case)] > count))
    return marked


def named(cases: Iterable[Any], *names: Any) -> list[Any]:
    """Cases for `parametrize`; all but those named are exhaustive."""
    cases = list(cases)
    assert set(names) <= set(cases), f"no case {set(names) - set(cases)}"
    return [_marked(case, case not in names) for case in cases]


def _marked(case: Any, further: bool) -> Any:
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=exhaustive if further else ())


def examples(count: int) -> int:
    """Examples of a property that draws `count` in the exhaustive tier: the same share of them as of all others."""
    return max(1, count * settings().max_examples // EXAMPLES)


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that is made once in a session and then only read, by whichever worker needs it first."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    finished = folder.with_suffix(".finished")
    with FileLock(f"{folder}.lock"):
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            finished.touch()
    return folder
