"""A dataset in a folder, and what stage `data` makes of it."""

from pathlib import Path
from typing import Any

import numpy as np
from hostile import files, refusal

from paumer.config.network import Data
from paumer.data.images import read_sample
from paumer.data.manifest import samples
from paumer.data.preparation import prepare
from paumer.system.files import read_json


class Stage:
    """Stage `data` for a folder; the manifest lies beside it."""

    def __init__(self, folder: Path, dataset: str = "folder", **settings: Any) -> None:
        self.folder, self.manifest = folder, folder.parent / "data.json"
        self.data = Data(dataset=dataset, folder=str(folder), **settings)

    def prepare(self) -> dict[str, Any]:
        """The manifest."""
        prepare(self.data, self.manifest, threads=2)
        return read_json(self.manifest)

    def images(self) -> dict[str, int]:
        """The number of images in every split."""
        return {name: split["images"] for name, split in self.prepare()["splits"].items()}

    def read(self, split: str = "train") -> list[tuple[np.ndarray, np.ndarray]]:
        """Images and label maps of a split, by way of the manifest."""
        self.prepare()
        dataset, found = samples(self.manifest, split)
        return [read_sample(sample, dataset) for sample in found]

    def refusal(self) -> str:
        """The one line with which the stage fails; it writes nothing."""
        before = files(self.folder.parent)
        line = refusal(prepare, self.data, self.manifest, threads=2)
        assert files(self.folder.parent) == before
        return line
