"""Stage `data`: find, draw or fetch a dataset, read every file once, and describe it in `data.json`.

Beside it, the way to fetch a dataset once, for all experiments.
"""

from pathlib import Path
from typing import Any

from paumer.config import Data
from paumer.data import catalogue as own_folder
from paumer.data.archives import fetch, read_source
from paumer.data.catalogue import (
    DATASETS,
    described_folder,
    find_dataset,
    folder_of,
    known_colours,
    named_folder,
    stored_folder,
)
from paumer.data.changes import Record, require_unchanged, state
from paumer.data.checking import check_split
from paumer.data.datasets import Dataset, Sample, to_hex
from paumer.data.scenes import generate
from paumer.system.errors import PaumerError
from paumer.system.files import read_json, require_folder, require_writable, write_json, writing_folder
from paumer.system.locks import lock, lock_path


def prepare(data: Data, output: Path, threads: int) -> None:
    """Make the dataset ready and write its manifest to `output`.

    Every image and label is decoded and checked here, so that no later stage stumbles over one.

    Raises:
        PaumerError: the dataset is missing, a file of it is not what it should be, or a split has no labels.
    """
    require_writable(output, ".json")
    before, folder = state(data, output), folder_of(data, output)
    _ready(data, folder, threads)
    dataset = find_dataset(data.dataset, folder)
    splits = dict.fromkeys((data.train_split, data.eval_split))
    checked = [check_split(dataset, folder, split, threads) for split in splits]
    notes = [note for split in checked for note in split.notes(dataset)]
    for note in notes:
        print(f"note: {note}", flush=True)
    fetched = (read_source(folder) or {}).get("archives", []) if dataset.download else []
    stored = stored_folder(folder, output)
    Record(before, stored, dataset.meaning, {split.name: split.seen for split in checked}).write(output)
    write_json(
        output,
        {
            "dataset": dataset.name,
            "folder": stored,
            **dataset.terms,
            **({"caution": dataset.caution} if dataset.caution else {}),
            **({"archives": _in_a_line(fetched)} if fetched else {}),
            "classes": list(dataset.classes),
            "splits": {split.name: split.described(dataset) for split in checked},
            **({"notes": notes} if notes else {}),
        },
    )


def write_colours(manifest: Path, output: Path) -> None:
    """Stage `colours`: write the colour of every class. No part of `data.json`, since no measurement rests on it.

    Raises:
        PaumerError: the manifest is none, or its dataset is not there.
    """
    content = read_json(manifest, dataset=str, folder=str)
    dataset = find_dataset(content["dataset"], described_folder(manifest, content["folder"]))
    write_json(output, dict(zip(dataset.classes, map(to_hex, dataset.colours), strict=True)))


def colours_now(data: Data, manifest: Path) -> str:
    """The colours of the classes as a text, by which the workflow knows whether pictures are to be drawn again."""
    return " ".join(map(to_hex, known_colours(data.dataset, folder_of(data, manifest), manifest)))


def samples(manifest: Path, split: str) -> tuple[Dataset, list[Sample]]:
    """The dataset and the samples of a split that a manifest describes.

    Raises:
        PaumerError: the dataset is not there, or not what it was when it was described.
    """
    content = read_json(manifest, dataset=str, folder=str)
    folder = described_folder(manifest, content["folder"])
    dataset = find_dataset(content["dataset"], folder)
    found = dataset.samples(folder, split)
    require_unchanged(manifest, dataset, folder, split, found)
    return dataset, found


def described_split(manifest: Path, split: str, classes: int) -> dict[str, Any]:
    """What a manifest says of a split: `class_frequencies` of all its classes, and a checksum where it has one.

    Raises:
        PaumerError: it says nothing of it, or something else.
    """
    described = read_json(manifest, splits=dict)["splits"].get(split)
    frequencies = described.get("class_frequencies") if isinstance(described, dict) else None
    shares = list(frequencies.values()) if isinstance(frequencies, dict) else []
    if len(shares) != classes or not all(isinstance(share, int | float) and 0 <= share <= 1 for share in shares):
        raise PaumerError(
            f"{manifest}: describes no {classes} classes of split {split!r}; run stage data again for this experiment"
        )
    return described


def obtain(name: str, folder: Path, processes: int) -> None:
    """Fetch a dataset into a folder for all experiments, unless it is there, and make it ready; run again, it goes on.

    Raises:
        PaumerError: there is no such dataset to fetch, it cannot be fetched, or a tool is missing.
    """
    dataset = DATASETS.get(name)
    if dataset is None or dataset.download is None:
        fetched = ", ".join(name for name, dataset in DATASETS.items() if dataset.download)
        raise PaumerError(f"{name}: no dataset that is fetched; use {fetched}")
    folder = folder.expanduser().resolve()
    require_folder(folder)
    finish = dataset.finishing() if dataset.finishing else None
    if read_source(folder) is None and dataset.image_folder(folder, "train").is_dir():
        print(f"{folder}: {name} is there already", flush=True)
    else:
        fetch(dataset.download, folder, dataset.terms, dataset.by_hand)
    if finish is not None:
        finish(folder, processes)
    print(f"{folder}: ready; name it in data.folder or PAUMER_DATA")


def _ready(data: Data, folder: Path, threads: int) -> None:
    """Draw or fetch the dataset into its folder, unless it is there or the user named the folder.

    Raises:
        PaumerError: there is no folder, and nothing that could be drawn or fetched.
    """
    named = named_folder(data)
    if data.dataset == "scenes":
        require_folder(folder)
        _draw_scenes(data, folder, threads)
    elif named is None and data.dataset == own_folder.NAME:
        raise PaumerError(f"data.folder: not set; name a folder there or in PAUMER_DATA that has {own_folder.LAYOUT}")
    elif named is None:
        dataset = DATASETS[data.dataset]
        assert dataset.download is not None
        fetch(dataset.download, folder, dataset.terms, dataset.by_hand)


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
    drawing = lock(lock_path(folder), f"{folder}: another process draws scenes here")
    with drawing, writing_folder(folder) as temporary:
        generate(temporary, **wanted, processes=processes)
        write_json(temporary / recipe.name, wanted)


def _in_a_line(archives: list[dict[str, str]]) -> str:
    """Archives as the report shows them."""
    return ", ".join(f"{archive['name']} (sha256 {archive['sha256']})" for archive in archives)
