"""Where trained networks lie: the folders of runs and of exports, and what comes with the package. Imports no torch.

By which statistics a network's images are normalised: as the configuration says, or as its weights ask for.
"""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from timm.models import get_pretrained_cfg

from paumer.config import STATISTICS, Backbone, Normalization, Statistics, parse
from paumer.config.network import NetworkSettings
from paumer.models.backbones import check_architecture
from paumer.system.errors import PaumerError
from paumer.system.files import read_json

NETWORKS = Path(__file__).parent / "networks"
DEMO = "demo"  # trained by workflow/experiments/demo.yaml
RUN, CONFIG = "run.json", "config.json"  # one of which every folder of a network holds
WEIGHTS = "model.safetensors"
REMEDY = "name that of a finished run, one that `paumer export hub` wrote, or demo"


def is_network(folder: Path) -> bool:
    """Whether a folder holds a trained network, as `paumer train` or `paumer export hub` writes it."""
    return any((folder / file).is_file() for file in (RUN, CONFIG))


def find_network(name: str | Path) -> Path:
    """The folder of a network: of that name, or for `demo`, where there is none, that of the package.

    Raises:
        PaumerError: there is no such folder, or no network in it.
    """
    folder = _named(name)
    if is_network(folder):
        return folder
    if not folder.is_dir():
        raise PaumerError(f"{folder}: {'is no folder' if folder.exists() else 'no such folder'}; {REMEDY}")
    raise PaumerError(f"{folder}: holds no trained network, for it has neither {RUN} nor {CONFIG}; {REMEDY}")


def trained_network(weights: str) -> Path | None:
    """The folder of a trained network that `weights` of a backbone names; None where it names something else."""
    folder = _named(weights)
    return folder if weights not in ("none", "hub") and is_network(folder) else None


def read_run(folder: Path, **needed: type) -> dict[str, Any]:
    """What the folder of a network says of its training: backbone, recipe, seed and `network`, its shape.

    Args:
        folder: as `find_network` gives it.
        needed: keys that must be there beside `network`, with the types of their values.

    Raises:
        PaumerError: the file that says it is damaged.
    """
    if not (folder / CONFIG).is_file():
        return read_json(folder / RUN, network=dict, **needed)
    needed.pop("backbone", None)  # the network has it
    content = read_json(folder / CONFIG, network=dict, **needed)
    network: NetworkSettings = parse(NetworkSettings, content["network"], str(folder / CONFIG))
    told: dict[str, Any] = {name: content[name] for name in ("recipe", "seed") if name in content}
    return {"backbone": network.backbone.name, **told, "network": network.model_dump(mode="json")}


def folder_named(name: Any) -> Path:
    """The folder of a network as a path, there or not.

    Raises:
        PaumerError: it is no name.
    """
    if not isinstance(name, str | PathLike):
        raise PaumerError(f"network: {type(name).__name__} is no name of a folder; {REMEDY}")
    return Path(name).expanduser()


def _named(name: str | Path) -> Path:
    folder = folder_named(name)
    return NETWORKS / DEMO if str(folder) == DEMO and not is_network(folder) else folder


def normalization_of(backbone: Backbone) -> Normalization:
    """Never `auto`: what the configuration says, else what the weights ask for, else ImageNet's.

    Raises:
        PaumerError: the architecture is unknown, or the folder of a trained network is damaged.
    """
    return asked_for(backbone) or "imagenet" if backbone.normalization == "auto" else backbone.normalization


def asked_for(backbone: Backbone) -> Normalization | None:
    """What the weights of a backbone were trained with: as their folder says, or timm; None without weights.

    Raises:
        PaumerError: the architecture is unknown, or the folder of a trained network is damaged.
    """
    folder = trained_network(backbone.weights)
    if folder is not None:
        network: NetworkSettings = parse(NetworkSettings, read_run(folder)["network"], str(folder))
        return normalization_of(network.backbone.model_copy(update={"weights": "none"}))
    check_architecture(backbone)
    source = get_pretrained_cfg(backbone.architecture)
    if backbone.weights == "none" or source is None:
        return None
    return statistics(source.mean, source.std)


def statistics(mean: Sequence[float], std: Sequence[float]) -> Normalization:
    """The normalization of a mean and a standard deviation: its name where it has one."""
    given = Statistics(mean=tuple(mean), std=tuple(std))
    return next((name for name, known in STATISTICS.items() if known == given), given)


def described(normalization: Normalization) -> str:
    """A normalization in a few words."""
    if isinstance(normalization, Statistics):
        return f"mean {list(normalization.mean)}, std {list(normalization.std)}"
    return normalization
