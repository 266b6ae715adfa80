"""Networks that come with the package. Imports no torch."""

from pathlib import Path

NETWORKS = Path(__file__).parent / "networks"
DEMO = "demo"  # trained by workflow/experiments/demo.yaml
FILES = ("config.json", "run.json")  # one of which every folder of a network holds


def is_network(folder: Path) -> bool:
    """Whether a folder holds a trained network, as `paumer train` or `paumer export hub` writes it."""
    return any((folder / file).is_file() for file in FILES)


def find_network(name: str | Path) -> Path:
    """The folder of a network: of that name, or for `demo`, where there is none, that of the package."""
    folder = Path(name).expanduser()
    return NETWORKS / DEMO if str(folder) == DEMO and not is_network(folder) else folder


def trained_network(weights: str) -> Path | None:
    """The folder of a trained network that `weights` of a backbone names; None where it names something else."""
    folder = find_network(weights)
    return folder if weights not in ("none", "hub") and is_network(folder) else None
