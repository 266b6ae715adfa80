"""Time variants against each other: interleaved in random order, in blocks.

Every round times every variant once; ratios to the reference are taken within a round, so slow drifts of the machine
cancel.
"""

import random
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch

from paumer.progress import progress
from paumer.runtime import synchronize


def calibrate(run: Callable[[], object], device: torch.device, seconds: float) -> int:
    """How often to call `run` for a block of at least `seconds`; the calls made here warm it up."""
    run()
    calls, elapsed = 1, 0.0
    while True:
        elapsed = time_block(run, device, calls) * calls
        if elapsed >= seconds:
            return calls
        calls = max(calls + 1, min(10 * calls, int(np.ceil(1.1 * calls * seconds / max(elapsed, 1e-9)))))


def time_block(run: Callable[[], object], device: torch.device, calls: int) -> float:
    """Seconds per call over a block of `calls`, synchronised at its edges."""
    synchronize(device)
    start = time.perf_counter()
    for _ in range(calls):
        run()
    synchronize(device)
    return (time.perf_counter() - start) / calls


def time_rounds(
    variants: Mapping[str, Callable[[], object]], device: torch.device, rounds: int, seconds: float, title: str
) -> dict[str, list[float]]:
    """Seconds per call of every variant in every round."""
    work = progress(variants.items(), title=f"{title}, warming up")
    calls = {name: calibrate(run, device, seconds) for name, run in work}
    order = list(variants)
    timed: dict[str, list[float]] = {name: [] for name in variants}
    shuffle = random.Random(0)
    for _ in progress(range(rounds), title=title):
        shuffle.shuffle(order)
        for name in order:
            timed[name].append(time_block(variants[name], device, calls[name]))
    return timed
