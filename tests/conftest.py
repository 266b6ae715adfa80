"""What all tests share."""

from collections.abc import Iterator
from threading import Thread

import pytest
import torch
from hypothesis import settings
from loopback_hub import Hub

settings.register_profile("no deadline", deadline=None)  # how fast a machine is says nothing about the code
settings.load_profile("no deadline")


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
