"""Stage `data`: find, draw or fetch a dataset, read every file once, and describe it in `data.json`."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from paumer.config import Data
from paumer.data.datasets import DATASETS, Dataset, Sample, named_folder
from paumer.data.fetching import fetch, read_source
from paumer.data.reading import read_sample
from paumer.data.scenes import generate
from paumer.errors import PaumerError
from paumer.files import read_json, write_json, writing_folder
from paumer.progress import progress


def prepare(data: Data, output: Path, threads: int) -> None:
    """Make the dataset ready and write its manifest to `output`.

    Every image and label is decoded and checked here, so that no later stage stumbles over one.

    Raises:
        PaumerError: the dataset is missing, or a file of it is not what it should be.
    """
    dataset = DATASETS[data.dataset]
    folder = _ready(data, dataset, output.parent / "data" / data.dataset, threads)
    splits = dict.fromkeys((data.train_split, data.eval_split))
    checked = {split: _check(dataset, dataset.samples(folder, split), split, threads) for split in splits}
    fetched = read_source(folder) if dataset.download else None
    write_json(
        output,
        {
            "dataset": dataset.name,
            "folder": str(folder),
            **dataset.terms,
            **({"archive": fetched.get("url"), "archive_sha256": fetched.get("sha256")} if fetched else {}),
            "classes": list(dataset.classes),
            "splits": checked,
        },
    )


def samples(manifest: Path, split: str) -> tuple[Dataset, list[Sample]]:
    """The dataset and the samples of a split that a manifest describes."""
    content = read_json(manifest)
    dataset = DATASETS[content["dataset"]]
    return dataset, dataset.samples(Path(content["folder"]), split)


def _ready(data: Data, dataset: Dataset, own: Path, threads: int) -> Path:
    """Find the dataset where the user named its folder; else draw or fetch it into `own`.

    Raises:
        PaumerError: there is no folder, and nothing that could be drawn or fetched.
    """
    named = named_folder(data)
    if data.dataset == "scenes":
        _draw_scenes(data, named or own, threads)
    elif named is None and dataset.download:
        fetch(dataset.download, own, dataset.terms, dataset.by_hand)
    elif named is None:
        raise PaumerError(f"data.folder: not set; {dataset.by_hand}")
    return named or own


def _draw_scenes(data: Data, folder: Path, processes: int) -> None:
    """Draw the scenes unless the folder already holds just these.

    Raises:
        PaumerError: the folder holds something else, which drawing would replace.
    """
    wanted = data.scenes.model_dump()
    recipe = folder / "scenes.json"
    if recipe.exists() and read_json(recipe) == wanted:
        return
    if folder.exists() and any(folder.iterdir()) and not recipe.exists():
        raise PaumerError(f"{folder}: holds files that are no scenes; name an empty or new folder in data.folder")
    with writing_folder(folder) as temporary:
        generate(temporary, **wanted, processes=processes)
        write_json(temporary / recipe.name, wanted)


def _check(dataset: Dataset, found: list[Sample], split: str, threads: int) -> dict[str, Any]:
    """Read every sample of a split; count images and pixels per class, and take a checksum of all files."""
    pixels = np.zeros(256, dtype=np.int64)
    digest = hashlib.sha256()
    with ThreadPoolExecutor(max(1, threads)) as pool:
        read = pool.map(lambda sample: _read(dataset, sample), found)
        for counts, checksum in progress(read, title=f"checking {split}", total=len(found)):
            pixels += counts
            digest.update(checksum)
    classes = pixels[: len(dataset.classes)]
    return {
        "images": len(found),
        "class_frequencies": {
            name: round(float(count) / max(1, int(classes.sum())), 6)
            for name, count in zip(dataset.classes, classes, strict=True)
        },
        "sha256": digest.hexdigest(),
    }


def _read(dataset: Dataset, sample: Sample) -> tuple[np.ndarray, bytes]:
    _, label = read_sample(sample, dataset)
    files = hashlib.sha256(sample.image.read_bytes() + sample.label.read_bytes())
    return np.bincount(label.reshape(-1), minlength=256), files.digest()
