"""Networks that come with the package. Imports no torch."""

from pathlib import Path

NETWORKS = Path(__file__).parent / "networks"
DEMO = "demo"  # trained by workflow/experiments/demo.yaml
FILES = ("config.json", "run.json")  # one of which every folder of a network holds


def find_network(name: str | Path) -> Path:
    """The folder of a network: of that name, or for `demo`, where there is none, that of the package."""
    folder = Path(name)
    own = any((folder / file).is_file() for file in FILES)
    return NETWORKS / DEMO if str(folder) == DEMO and not own else folder
