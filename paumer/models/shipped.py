"""Where trained networks lie: the folders of runs and of exports, and what comes with the package. Imports no torch."""

from os import PathLike
from pathlib import Path
from typing import Any

from paumer.config import parse
from paumer.errors import PaumerError
from paumer.files import read_json
from paumer.stages import NetworkSettings

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
