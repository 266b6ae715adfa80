"""What all tests share: the examples of properties in either tier, a hub, and the number of threads."""

import os
from collections.abc import Iterator
from threading import Thread

# With `pytest -n` a process has a core; set before torch reads it.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from command_line import CommandLine
from hypothesis import is_hypothesis_test, settings
from loopback_hub import Hub
from tiers import EXAMPLES, exhaustive

from paumer.strategies import declared

# The same examples in every run, so that a change is judged by what it changed. `--hypothesis-profile search` looks for
# new ones. How fast a machine is says nothing about the code: no deadlines.
settings.register_profile("few", deadline=None, derandomize=True, max_examples=EXAMPLES // 5)
settings.register_profile("all", deadline=None, derandomize=True, max_examples=EXAMPLES)
settings.register_profile("search", deadline=None, max_examples=10 * EXAMPLES)


def pytest_configure(config: pytest.Config) -> None:
    """Before the tests are read, which take the number of examples from the profile."""
    settings.load_profile("all" if config.option.markexpr == "exhaustive" else "few")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Properties belong to both tiers: few examples in the first, all in the exhaustive one.

    What takes longest comes first: the workflow as a whole, then the report.
    """
    longest = {"test_smoke": 0, "reporting": 1}
    items.sort(key=lambda item: min(longest.get(name, 2) for name in (item.path.stem, item.path.parent.name)))
    if config.option.markexpr == "exhaustive":
        for item in items:
            if is_hypothesis_test(getattr(item, "obj", None)):
                item.add_marker(exhaustive)


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub on loopback that serves nothing yet."""
    with Hub() as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """`paumer VERB` in this process."""
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers is gone after it."""
    before = [dict(table) for table in declared.TABLES]
    monkeypatch.setattr(declared.REGISTRY["pause"], "criteria", declared.REGISTRY["pause"].criteria)
    yield
    for table, content in zip(declared.TABLES, before, strict=True):
        table.clear()
        table.update(content)


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """A test that sets the number of threads, as the verbs of the command line do, leaves it to no other."""
    threads = torch.get_num_threads()
    yield
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
