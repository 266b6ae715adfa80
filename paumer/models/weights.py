"""Folders of trained networks, and files of weights, which are not trusted.

Reading a file runs none of it and takes no more memory than its size. Of a checkpoint that others wrote, only the
weights of the backbone are taken.
"""

import re
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

import torch
from safetensors.torch import load_file
from torch import Tensor

from paumer.config.base import parse
from paumer.config.network import NetworkSettings
from paumer.system.errors import PaumerError, summary
from paumer.system.files import read_json, require_fetched, require_plain, text_at_start

NETWORKS = Path(__file__).parent / "networks"
DEMO = "demo"  # trained by workflow/experiments/demo.yaml
RUN, CONFIG = "run.json", "config.json"  # one of which every folder of a network holds
WEIGHTS = "model.safetensors"
REMEDY = "name that of a finished run, one that `paumer export hub` wrote, or demo"

LARGEST_FACTOR = 20  # trained weights hardly shrink; what unpacks to more is a bomb
# How packed files begin; an archive of the kind ZIP may be one of weights.
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7-Zip", b"Rar!": "RAR"}
LONGEST, SHOWN = 5, 40  # bytes of these, and characters of a text in an error
ARCHIVE, MEMBERS, NAMED = b"PK\x03\x04", ("data.pkl", ".npy"), 3  # of torch and NumPy; names in an error
BLOCKED = re.compile(r"(?:GLOBAL|globals?:) (?:GLOBAL )?([\w.]+)")
SMALL = 64 * 2**20  # bytes that are no matter, such as those of a small network that starts at zeros


def is_network(folder: Path) -> bool:
    """Whether a folder holds a trained network, as `paumer train` or `paumer export hub` writes it."""
    return any((folder / file).is_file() for file in (RUN, CONFIG))


def find_network(name: str | Path) -> Path:
    """The folder of a network: of that name, or for `demo`, where there is none, that of the package.

    Raises:
        PaumerError: there is no such folder, or no network in it.
    """
    folder = _named(name)
    if not is_network(find_folder(folder)):
        raise PaumerError(f"{folder}: holds no trained network, for it has neither {RUN} nor {CONFIG}; {REMEDY}")
    return folder


def find_folder(name: Any, remedy: str = REMEDY) -> Path:
    """The folder of that name.

    Raises:
        PaumerError: there is none; it ends with `remedy`.
    """
    folder = _path(name)
    if not folder.is_dir():
        raise PaumerError(f"{folder}: {'is no folder' if folder.exists() else 'no such folder'}; {remedy}")
    return folder


def trained_network(weights: str) -> Path | None:
    """The folder of a trained network that `weights` of a backbone names; None where it names something else."""
    folder = _named(weights)
    return folder if weights not in ("none", "hub") and is_network(folder) else None


def read_run(folder: Path, **needed: type) -> dict[str, Any]:
    """The description of a trained network in its folder: backbone, recipe, seed and `network`, its shape.

    Args:
        folder: as `find_network` gives it.
        needed: keys that must be there beside `network`, with the types of their values.

    Raises:
        PaumerError: the file is damaged.
    """
    if not (folder / CONFIG).is_file():
        return read_json(folder / RUN, network=dict, **needed)
    needed.pop("backbone", None)  # the network has it
    content = read_json(folder / CONFIG, network=dict, **needed)
    network: NetworkSettings = parse(NetworkSettings, content["network"], str(folder / CONFIG))
    told: dict[str, Any] = {name: content[name] for name in ("recipe", "seed") if name in content}
    return {"backbone": network.backbone.name, **told, "network": network.model_dump(mode="json")}


def _path(name: Any) -> Path:
    """A path that a user gave.

    Raises:
        PaumerError: it is no name.
    """
    if not isinstance(name, str | PathLike):
        raise PaumerError(f"network: {type(name).__name__} is no name of a folder; {REMEDY}")
    return Path(name).expanduser()


def _named(name: Any) -> Path:
    folder = _path(name)
    return NETWORKS / DEMO if str(folder) == DEMO and not is_network(folder) else folder


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; its header is compared with its size before anything is read.

    Raises:
        OSError, SafetensorError: the file is missing or damaged.
        PaumerError: it was never fetched, is text, or is packed.
    """
    _require_binary(path)
    return load_file(path)


def read_tensors(path: Path) -> Any:
    """Read what `torch.save` wrote of tensors, numbers, text, and lists and mappings of these; refuse all else.

    Raises:
        Exception: of many kinds; the file is missing, damaged or unsafe.
    """
    refuse_bomb(path)
    return torch.load(path, weights_only=True, map_location="cpu")


def refuse_bomb(path: Path) -> None:
    """Refuse an archive (of torch, or of NumPy arrays) that unpacks to far more than it has bytes.

    Raises:
        OSError, BadZipFile: the file is missing, or no sound archive.
        ValueError: it is a bomb.
        PaumerError: it was never fetched, is text, or is packed.
    """
    _require_binary(path)
    if not is_zipfile(path):
        with path.open("rb") as file:
            if file.read(len(ARCHIVE)) == ARCHIVE:
                raise ValueError("it is cut off; download it again")
        return
    with ZipFile(path) as archive:
        names = archive.namelist()
        size = sum(member.file_size for member in archive.infolist())
    if size > max(SMALL, LARGEST_FACTOR * path.stat().st_size):
        raise ValueError(f"it unpacks to {size} bytes")
    if not any(name.endswith(MEMBERS) for name in names):
        raise ValueError(f"it is an archive of {', '.join(names[:NAMED])}; unpack it, and name the file of weights")


def _require_binary(path: Path) -> None:
    """Refuse files whose first bytes are not those of tensors.

    Raises:
        OSError: the file is missing, or no plain file.
        PaumerError: it was never fetched, is text, or is packed.
    """
    require_plain(path)
    require_fetched(path)
    with path.open("rb") as file:
        start = file.read(LONGEST)
    for magic, form in PACKED.items():
        if start.startswith(magic):
            raise PaumerError(f"{path}: is packed by {form}; unpack it, and name the file that it holds")
    if text := text_at_start(path):
        words = f"{text[:SHOWN]}..." if len(text) > SHOWN else text
        raise PaumerError(f"{path}: is text in the place of the file ({words!r}); download the file itself")


def unreadable(error: Exception) -> str:
    """Why a file of tensors could not be read, without torch's advice to load it unsafely."""
    if blocked := BLOCKED.search(str(error)):
        return f"it asks to run {blocked[1]}, as a network does that was saved whole; save its state_dict() instead"
    return "it is damaged, or no file of weights" if "weights_only" in str(error) else summary(error)


def require_weights(weights: Mapping[str, Any]) -> None:
    """Refuse values that are no weights: not real or not finite numbers, or more values than the file holds.

    Raises:
        ValueError: one is.
    """
    for name, value in weights.items():
        if isinstance(value, Mapping):  # some publish several networks in one file
            require_weights(value)
        elif isinstance(value, Tensor) and not value.is_floating_point():
            raise ValueError(f"{name} is {value.dtype}, no weights")
        elif isinstance(value, Tensor) and value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise ValueError(f"{name} claims more values than the file holds")
        elif isinstance(value, Tensor) and not bool(value.isfinite().all()):
            raise ValueError(f"{name} holds values that are not finite, as of a training that diverged")


def require_same(weights: Mapping[str, Tensor], network: Mapping[str, Tensor]) -> None:
    """Refuse weights that have not the names and shapes of those of a network.

    Raises:
        ValueError: names the first that is missing, that the network lacks, or whose shape differs.
    """
    if missing := next((name for name in network if name not in weights), None):
        raise ValueError(f"{missing} is missing")
    if strange := next((name for name in weights if name not in network), None):
        raise ValueError(f"the network has no {strange}")
    for name, value in network.items():
        if weights[name].shape != value.shape:
            raise ValueError(f"{name} has shape {tuple(weights[name].shape)} in the place of {tuple(value.shape)}")


FIRST = "patch_embed.proj.weight"  # that every plain ViT of timm has; what stands before it is a prefix of all names
# Of several networks in a file the one to take: DINO's mean of the student, averaged weights, MoCo's and I-JEPA's own.
PREFERRED = ("teacher", "model_ema", "ema", "base_encoder", "encoder")
CLASSIFIERS = ("head.", "head_dist.")  # `head_dist` belongs to the distillation token
# Names of weights in the files of other libraries.
FOREIGN = {
    "embeddings.patch_embeddings.projection.weight": "Hugging Face's transformers",
    "patch_embed.projection.weight": "mmsegmentation",
    "conv_proj.weight": "torchvision",
}
SHOWN_KEYS = 3  # names of what a file holds


def backbone_weights(checkpoint: Any) -> tuple[dict[str, Any], str]:
    """The weights of the backbone in a checkpoint, without a classifier of images.

    They may lie in mappings inside it, and under names with a prefix: `backbone.` of mmsegmentation, `model.` of
    Lightning, `teacher.backbone.` of DINO. What names no weights as timm does is left for timm, which knows the names
    of some who publish ViTs.

    Returns:
        Tensors by name, and the prefix under which they lay.

    Raises:
        ValueError: the checkpoint holds no named weights, or several networks.
    """
    tensors = dict(_flattened(checkpoint))
    found = [name.removesuffix(FIRST) for name in tensors if name.endswith(f".{FIRST}")]
    prefix, chosen = "", checkpoint if tensors else {}
    if found and FIRST not in tensors:
        prefix = _preferred(found)
        chosen = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    weights = {name: value for name, value in chosen.items() if not name.startswith(CLASSIFIERS)}
    if not weights:  # timm would turn to the hub
        raise ValueError("it holds no weights of a backbone")
    return weights, prefix


def holds(weights: Mapping[str, Any]) -> str:
    """The names of weights that do not fit, in a few words for an error message."""
    names = [name for name, _ in _flattened(weights)]
    for ending, who in FOREIGN.items():
        if any(name.endswith(ending) for name in names):
            return f"its weights have the names of {who}, not those of timm"
    more = f" and {len(names) - SHOWN_KEYS} more" if len(names) > SHOWN_KEYS else ""
    return f"it holds {', '.join(names[:SHOWN_KEYS])}{more}"


def _preferred(prefixes: list[str]) -> str:
    """The one prefix, or the preferred one of several.

    Raises:
        ValueError: several are candidates.
    """
    if len(prefixes) == 1:
        return prefixes[0]
    for preferred in PREFERRED:
        matching = [prefix for prefix in prefixes if preferred in prefix.split(".")]
        if len(matching) == 1:
            return matching[0]
    raise ValueError(f"it holds several networks, {', '.join(prefixes)}: save the one that is meant alone")


def _flattened(content: Any, before: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of mappings in mappings, by their names joined by dots."""
    if isinstance(content, Tensor) and before:
        yield before, content
    elif isinstance(content, Mapping):
        for name, value in content.items():
            yield from _flattened(value, f"{before}.{name}" if before else str(name))
