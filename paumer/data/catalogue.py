"""The datasets by name, and the folder that the user named for one."""

import os
from collections.abc import Sequence
from pathlib import Path

from paumer.config import Data
from paumer.data import ade20k, camvid, cityscapes, folder, scenes
from paumer.data.colours import from_hex
from paumer.data.datasets import Colour, Dataset
from paumer.errors import PaumerError
from paumer.files import read_json

COLOURS = "colours.json"  # beside a manifest: the colour of every class

DATASETS = {dataset.name: dataset for dataset in (scenes.DATASET, cityscapes.DATASET, camvid.DATASET, ade20k.DATASET)}


def find_dataset(name: str, root: Path) -> Dataset:
    """A dataset by its name in the configuration; `folder` is described by the class list in `root`.

    Raises:
        PaumerError: there is no such dataset, or the class list is missing or wrong.
    """
    if name == folder.NAME:
        return folder.described(root)
    if name not in DATASETS:
        raise PaumerError(f"dataset {name!r} is unknown; use {folder.NAME}, {', '.join(DATASETS)}")
    return DATASETS[name]


def known_colours(name: str, root: Path, manifest: Path) -> Sequence[Colour]:
    """The colours of a dataset's classes, as it has them now in `root`.

    Where it is not there, as `colours.json` beside its manifest tells them; none where that is not there either.
    """
    try:
        return find_dataset(name, root).colours
    except PaumerError:
        pass
    try:
        return [from_hex(text) for text in read_json(manifest.with_name(COLOURS)).values()]
    except (PaumerError, ValueError, AttributeError):
        return ()


def folder_of(data: Data, manifest: Path) -> Path:
    """Where a dataset lies, or will lie: the folder that the user named, else one beside the manifest."""
    return named_folder(data) or manifest.parent / "data" / data.dataset


def stored_folder(folder: Path, manifest: Path) -> str:
    """How a manifest names the dataset's folder: from its own folder on where it lies in there, else whole.

    So the results may be moved, and any folder may be the one that a command is typed in.
    """
    folder, home = folder.absolute(), manifest.parent.absolute()
    return str(folder.relative_to(home) if folder.is_relative_to(home) else folder)


def described_folder(manifest: Path, stored: str) -> Path:
    """The folder that a manifest names; those of earlier versions count from the working folder."""
    folder = manifest.parent / stored
    return folder if folder.is_dir() or not Path(stored).is_dir() else Path(stored)


def named_folder(data: Data) -> Path | None:
    """The folder that the user named: `data.folder`, else PAUMER_DATA, or its subfolder of the dataset's name.

    PAUMER_DATA does not concern scenes.
    """
    if data.folder or data.dataset == "scenes":
        return Path(data.folder).expanduser() if data.folder else None
    named = os.environ.get("PAUMER_DATA")
    if not named:
        return None
    folder = Path(named).expanduser()
    return folder / data.dataset if (folder / data.dataset).is_dir() else folder
