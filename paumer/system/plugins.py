"""Methods from outside: modules of other packages and files that are named, what they brought, and their checksums."""

import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from paumer.system.errors import PaumerError, summary

VARIABLE = "PAUMER_PLUGINS"  # files, divided as the folders of PATH are
Kind = Literal["criterion", "strategy", "dataset"]
GROUPS: dict[Kind, str] = {  # of entry points; strategies name criteria, which come first
    "criterion": "paumer.criteria",
    "strategy": "paumer.strategies",
    "dataset": "paumer.datasets",
}


@dataclass(frozen=True)
class Plugin:
    """A package or file that brought something.

    Attributes:
        name: of the package, or of the file.
        version: of the package; empty for a file.
        sha256: of the file, or of all Python files of the package.
    """

    name: str
    version: str
    sha256: str

    @property
    def state(self) -> str:
        """Version and checksum, as results record them."""
        return f"{self.version} sha256 {self.sha256}".strip()


BROUGHT: dict[tuple[Kind, str], Plugin] = {}  # by the name of what was brought
DATASETS: dict[str, Any] = {}  # those of plug-ins by name; package `data`, which is above, knows what they must be
IMPORTED: dict[Path, ModuleType] = {}


def states() -> dict[str, str]:
    """Name, version and checksum of every plug-in that brought something."""
    return {plugin.name: plugin.state for plugin in BROUGHT.values()}


def states_of(kind: Kind, names: Sequence[str]) -> dict[str, str]:
    """As `states`, of the plug-ins that brought something with one of these names."""
    found = [BROUGHT[kind, name] for name in names if (kind, name) in BROUGHT]
    return {plugin.name: plugin.state for plugin in found}


def bring(kind: Kind, name: str, plugin: Plugin, taken: bool) -> None:
    """Note who brought what.

    Raises:
        PaumerError: the name is taken.
    """
    if taken or (kind, name) in BROUGHT:
        owner = BROUGHT[kind, name].name if (kind, name) in BROUGHT else "paumer"
        raise PaumerError(f"{plugin.name}: the {kind} name {name!r} is taken by {owner}; choose another")
    BROUGHT[kind, name] = plugin


def find_file(name: str, folders: Sequence[Path] = ()) -> Path:
    """The absolute path of a file that is named relative to one of these folders, or to the working folder.

    Raises:
        PaumerError: there is none.
    """
    for folder in (*folders, Path()):
        path = folder / Path(name).expanduser()
        if path.is_file():
            return path.resolve()
    raise PaumerError(f"{name}: no such file beside the experiment file or in the working folder; name a Python file")


def files_of_environment() -> list[Path]:
    """The files that PAUMER_PLUGINS names.

    Raises:
        PaumerError: one is missing.
    """
    named = [name for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]
    try:
        return [find_file(name) for name in named]
    except PaumerError as error:
        raise PaumerError(f"{VARIABLE}: {error}") from None


def import_file(path: Path) -> tuple[Plugin, ModuleType]:
    """Import a file as a module of its own, once.

    Args:
        path: absolute.

    Raises:
        PaumerError: it is no Python, or fails.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise PaumerError(f"{path.name}: {error.strerror or error}; name a Python file") from None
    plugin = Plugin(path.name, "", hashlib.sha256(source).hexdigest())
    if path not in IMPORTED:
        name = f"paumer_plugin_{plugin.sha256[:12]}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise PaumerError(f"{path.name}: no Python file; its name must end in .py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # whatever the file does wrong
            del sys.modules[name]
            remedy = "" if isinstance(error, PaumerError) else "; mend it"
            raise PaumerError(f"{path.name}{_line(error, path)}: {_problem(error)}{remedy}") from None
        IMPORTED[path] = module
    return plugin, IMPORTED[path]


def installed(kind: Kind) -> Iterator[tuple[Plugin, str, Any]]:
    """What installed packages bring of a kind, with its name.

    Raises:
        PaumerError: one cannot be imported.
    """
    for point in sorted(entry_points(group=GROUPS[kind]), key=lambda point: (_package(point), point.name)):
        try:
            found = point.load()
        except Exception as error:  # whatever the package does wrong
            raise PaumerError(
                f"package {_package(point)}: {kind} {point.name!r} cannot be imported ({_problem(error)}); mend or "
                "uninstall it"
            ) from None
        version = point.dist.version if point.dist is not None else ""
        yield (
            Plugin(_package(point), version, _checksum(sys.modules[point.module.partition(".")[0]])),
            point.name,
            found,
        )


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module


def _checksum(module: ModuleType) -> str:
    """Of a module's file, or of all Python files of a package."""
    if not hasattr(module, "__path__"):
        return hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for folder in map(Path, module.__path__):
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{path.relative_to(folder).as_posix()} ".encode() + path.read_bytes())
    return digest.hexdigest()


def _line(error: Exception, path: Path) -> str:
    """The line of a file at which it failed, as part of a message; empty where it is not known."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""


def _problem(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f"no valid Python ({error.msg})"
    return str(error) if isinstance(error, PaumerError) else f"{type(error).__name__}: {summary(error)}"
