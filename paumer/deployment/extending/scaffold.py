"""`paumer new`: a package that declares a strategy, to start from; it passes `paumer check` as it is written."""

import re
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from paumer.strategies.declared import NAME
from paumer.strategies.registry import REGISTRY
from paumer.system.errors import PaumerError
from paumer.system.files import require_folder, write_text

TEMPLATES = {
    "pyproject.toml": "pyproject.toml.j2",
    "README.md": "README.md.j2",
    "src/{module}.py": "strategy.py.j2",
    "tests/test_{module}.py": "test_strategy.py.j2",
}


def new(what: str, name: str, output: Path | None) -> None:
    """Write the package of a new strategy into a folder that is empty or not there.

    Args:
        what: `strategy`, the one thing there is a template of.
        name: of the strategy.
        output: the folder; by default the name with underscores.

    Raises:
        PaumerError: the name is impossible or taken, or the folder holds something.
    """
    if not NAME.fullmatch(name):
        raise PaumerError(f"{name!r}: strategies have names of small letters and single hyphens, as token-norm")
    if name in REGISTRY:
        raise PaumerError(f"{name}: there is a strategy of this name; choose another")
    folder = output or Path(name.replace("-", "_"))
    require_folder(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise PaumerError(f"{folder}: is not empty; name a new folder")
    module = f"paumer_{name.replace('-', '_')}"
    kind = re.sub(r"(^|-)(.)", lambda found: found[2].upper(), name)
    environment = Environment(
        loader=PackageLoader(__package__), keep_trailing_newline=True, undefined=StrictUndefined, autoescape=False
    )
    for path, template in TEMPLATES.items():
        text = environment.get_template(template).render(name=name, module=module, kind=kind)
        write_text(folder / path.format(module=module), text)
    print(f"{folder}: a package with strategy {name}; next: pip install -e {folder} && paumer check {name}")
