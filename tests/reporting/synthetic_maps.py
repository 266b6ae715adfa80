"""What stage `maps` would have written: two images under three schedules."""

from typing import Any

import numpy as np
import torch

from paumer.config.base import IGNORE
from paumer.data.catalogue import DATASETS
from paumer.reporting.figures.maps import PauseMap, Sample, viewer_data
from paumer.strategies.notation import Schedule

HEIGHT, WIDTH, PATCH = 20, 48, 8  # the last row of patches is half padding
GRID = (3, 6)
SCHEDULES = [Schedule(text) for text in ("dense", "3:0.4", "3:0.2+6:0.2")]


def sample(number: int) -> Sample:
    """Noise, with classes 0 and 10 and a corner that is ignored."""
    random = np.random.default_rng(number)
    image = random.integers(0, 255, (3, HEIGHT, WIDTH), dtype=np.uint8)
    labels = np.where(np.arange(WIDTH) < WIDTH // 2, 0, 10) * np.ones((HEIGHT, 1), dtype=int)
    labels[:2, :2] = IGNORE
    return Sample(f"image {number}", torch.from_numpy(image), torch.from_numpy(labels))


def pause_map(schedule: Schedule) -> PauseMap:
    """Patches pause from the first on; class 10 is predicted everywhere, and class 13 where something paused."""
    paused, entropy, at = np.zeros(GRID[0] * GRID[1], dtype=np.uint8), {}, 0
    for number, (block, left) in enumerate(schedule.running(paused.size).items(), start=1):
        entropy[block] = np.where(paused > 0, np.nan, np.linspace(0, 1, paused.size)).reshape(GRID)
        paused[at : paused.size - left] = number
        at = paused.size - left
    entropy = entropy or {block: np.linspace(0, 1, paused.size).reshape(GRID) for block in (3, 6)}
    large = np.kron(paused.reshape(GRID), np.ones((PATCH, PATCH), dtype=np.uint8))[:HEIGHT, :WIDTH]
    return PauseMap(entropy, paused.reshape(GRID), np.where(large > 0, 13, 10).astype(np.uint8))


def maps() -> dict[str, Any]:
    """All data of the viewer."""
    runs = [pause_map(schedule) for schedule in SCHEDULES]
    samples = [sample(0), sample(1)]
    return viewer_data("tiny/paumer, seed 0", samples, SCHEDULES, [runs, runs], DATASETS["scenes"])
