"""What all tests share."""

import os
from collections.abc import Iterator
from threading import Thread

# With `pytest -n` a process has a core; set before torch reads it.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import settings
from loopback_hub import Hub

# The same examples in every run, so that a change is judged by what it changed. `--hypothesis-profile search` looks for
# new ones. How fast a machine is says nothing about the code: no deadlines.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile("repeatable")


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub on loopback that serves nothing yet."""
    with Hub() as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """A test that sets the number of threads, as the verbs of the command line do, leaves it to no other."""
    threads = torch.get_num_threads()
    yield
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
