"""What tests of exported files share: a run, its operating points, drawn images, and which patches run to the end."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from finished_runs import CROP, write_run
from torch import Tensor

from paumer.config import STATISTICS
from paumer.data.scenes.scene import draw_scene
from paumer.deployment.export import GraphSettings
from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Strategy

BATCHES = (1, 2, 5)
# name: (strategy, schedule)
POINTS = {
    "pause": ("pause", "2:0.4"),
    "early-exit": ("early-exit", "exit:1"),
    "dense": ("pause", "dense"),
    "pause twice": ("pause", "1:0.2+2:0.3"),
    "merge": ("merge", "1:0.2"),
}


class Exported(dict[str, Path]):
    """Exported files by the name of their operating point, each written when it is first asked for."""

    def __init__(self, export: Callable[[GraphSettings, Path, Path], object], run: Path, folder: Path, ending: str):
        super().__init__()
        self.export, self.run, self.folder, self.ending = export, run, folder, ending

    def __missing__(self, name: str) -> Path:
        strategy, schedule = POINTS[name]
        self[name] = self.folder / f"{name}{self.ending}"
        self.export(GraphSettings(strategy=strategy, schedule=schedule), self.run, self[name])
        return self[name]


def write_small_run(experiment: Path) -> Path:
    """A run of three blocks whose heads read the decoder through adapters, as those of the default experiment do."""
    return write_run(experiment, heads=(1, 2), depth=3, adapter=8, context=3, layers=1, classifier="decoder")


def drawn_images(count: int) -> Tensor:
    """Normalised street scenes, (count, 3, *CROP)."""
    rng = np.random.default_rng(0)
    pixels = np.stack([draw_scene(rng, *CROP)[0] for _ in range(count)])
    known = STATISTICS["imagenet"]
    mean, std = (torch.tensor(values).view(3, 1, 1) * 255 for values in (known.mean, known.std))
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2) - mean) / std


class Watched(Segmenter):
    """A network that tells which patches still run at its end."""

    def running(self, images: Tensor, strategy: Strategy) -> Tensor:
        """Their places on the grid, (batch, running)."""
        return self.encode(images, strategy)[1].cells
