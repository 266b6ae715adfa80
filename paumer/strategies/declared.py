"""The strategies that there are: those of this folder, and with criteria and datasets those from outside.

Every file of this folder may declare strategies; lying here registers them. Imports no torch: the workflow plans with
it.
"""

import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Literal

import paumer.strategies
from paumer.strategies.contract import Strategy
from paumer.strategies.criteria import CRITERIA
from paumer.strategies.notation import Parameters
from paumer.system import plugins
from paumer.system.errors import PaumerError, summary
from paumer.system.plugins import GROUPS, Kind, Plugin, bring

RecipeName = Literal["dense", "multi-exit", "paumer", "token-exit", "merge", "resize"]
RECIPES: dict[RecipeName, str] = {
    "dense": "plain Segmenter",
    "multi-exit": "auxiliary losses, no pausing",
    "paumer": "auxiliary losses and random pausing",
    "token-exit": "auxiliary losses, and certain patches exit while it trains",
    "merge": "alike neighbours merge while it trains",
    "resize": "trained on inputs of several sizes",
}
WITH_HEADS: tuple[RecipeName, ...] = ("multi-exit", "paumer", "token-exit")
NAME = re.compile(r"[a-z]+(-[a-z]+)*")
GUIDE = "docs/extending.md shows one"


def find_strategies() -> dict[str, type[Strategy]]:
    """The strategies that files of this folder declare, by name: those that pause, those that exit, and the others."""
    files = [
        import_module(f"{paumer.strategies.__name__}.{file.name}")
        for file in iter_modules(paumer.strategies.__path__)
        if file.name not in ("registry", "declared")
    ]
    declared = [strategy for file in files for strategy in _classes_of(file) if strategy.examples]
    declared.sort(key=lambda strategy: (not strategy.defers_tokens, not strategy.outputs_logits))
    return {strategy.name: strategy for strategy in declared}


def _classes_of(module: ModuleType) -> list[type[Strategy]]:
    """The subclasses of Strategy that a module defines."""
    found = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Strategy)]
    return [value for value in found if value.__module__ == module.__name__]


REGISTRY = find_strategies()
TABLES: tuple[dict[Any, Any], ...] = (CRITERIA, REGISTRY, plugins.DATASETS, plugins.BROUGHT, plugins.IMPORTED)


def load_plugin(path: str | Path) -> Path:
    """Register the strategies, criteria and dataset that a Python file declares; once, where it is named twice.

    A strategy is a subclass of `Strategy` with a name, a criterion a function below `@criterion`, a dataset the
    `Dataset` that the file calls DATASET.

    Returns:
        The absolute path of the file.

    Raises:
        PaumerError: the file is missing or no Python, declares nothing, or something that is impossible or taken.
    """
    found = plugins.find_file(str(path))
    if found in plugins.IMPORTED:
        return found
    before = [dict(table) for table in TABLES]
    try:
        plugin, module = plugins.import_file(found)
        for kind, name, value in _declared_in(plugin, module):
            register(plugin, kind, name, value)
    except PaumerError:  # nothing of it remains
        for table, content in zip(TABLES, before, strict=True):
            table.clear()
            table.update(content)
        raise
    finally:
        REGISTRY["pause"].criteria = tuple(CRITERIA)
    return found


def _declared_in(plugin: Plugin, module: ModuleType) -> list[tuple[Kind, str, Any]]:
    """What a file declares: kind, name and object."""
    found: list[tuple[Kind, str, Any]] = [
        ("criterion", name, one) for name, one in CRITERIA.items() if one.score.__module__ == module.__name__
    ]
    found += [("strategy", kind.name, kind) for kind in _classes_of(module) if "name" in vars(kind)]
    if (dataset := getattr(module, "DATASET", None)) is not None:
        found.append(("dataset", getattr(dataset, "name", ""), dataset))
    if not found:
        raise PaumerError(f"{plugin.name}: declares no strategy, criterion or dataset; {GUIDE}")
    return found


def register(plugin: Plugin, kind: Kind, name: str, value: Any) -> None:
    """Register what a plug-in brings: a subclass of Strategy, a declared criterion, or a dataset.

    Raises:
        PaumerError: it is impossible, or its name is taken.
    """
    origin = f"{plugin.name}: {kind} {name!r}"
    if kind == "strategy":
        check_declaration(value, origin)
        bring(kind, name, plugin, taken=name in REGISTRY)
        REGISTRY[name] = value
    elif kind == "criterion":
        if name not in CRITERIA:
            raise PaumerError(f"{origin}: is declared by no @criterion of this name; {GUIDE}")
        bring(kind, name, plugin, taken=False)  # the decorator refuses names that are taken
    else:
        if not isinstance(name, str) or getattr(value, "name", None) != name or not hasattr(value, "encodings"):
            raise PaumerError(f"{origin}: is no Dataset of this name; {GUIDE}")
        bring(kind, name, plugin, taken=name in plugins.DATASETS)
        plugins.DATASETS[name] = value


def check_declaration(kind: Any, origin: str) -> None:
    """Refuse what is no strategy, or one whose class attributes contradict the contract.

    Raises:
        PaumerError: says what is wrong, after `origin`.
    """
    if not (isinstance(kind, type) and issubclass(kind, Strategy)):
        raise PaumerError(f"{origin}: is no subclass of paumer.strategies.contract.Strategy; {GUIDE}")
    for attribute, fine, needed in (
        ("name", isinstance(kind.name, str) and NAME.fullmatch(kind.name), "small letters and single hyphens"),
        ("description", isinstance(kind.description, str) and kind.description, "a line that says what it does"),
        ("examples", isinstance(kind.examples, tuple) and kind.examples, "a tuple of schedules, one or more"),
        ("recipes", kind.recipes and set(kind.recipes) <= set(RECIPES), f"some of {', '.join(RECIPES)}"),
        ("criteria", set(kind.criteria) <= set(CRITERIA), f"none, or some of {', '.join(CRITERIA)}"),
    ):
        if not fine:
            raise PaumerError(f"{origin}: {attribute} is {getattr(kind, attribute)!r}; it must be {needed}")
    for text in kind.examples:
        check_notation(kind, text, origin)


def check_notation(kind: type[Strategy], text: str, origin: str) -> None:
    """Refuse a strategy that does not read a schedule, or writes another one.

    Raises:
        PaumerError: says what is wrong, after `origin`.
    """
    try:
        parameters = kind.parse(text)
    except NotImplementedError:
        raise PaumerError(f"{origin}: has no `parse`; say how its schedules are read; {GUIDE}") from None
    except Exception as error:  # whatever it does wrong
        raise PaumerError(
            f"{origin}: `parse` does not read its own example {text!r} ({summary(error)}); mend it"
        ) from None
    if not isinstance(parameters, Parameters):
        raise PaumerError(
            f"{origin}: `parse` gives {type(parameters).__name__}; give paumer.strategies.notation.Parameters"
        )
    if str(parameters) != text:
        raise PaumerError(f"{origin}: example {text!r} is written as {str(parameters)!r}; both must be the same")


def load_all() -> None:
    """Register what installed packages and the files of PAUMER_PLUGINS bring."""
    for kind in GROUPS:
        for plugin, name, value in plugins.installed(kind):
            if kind == "strategy" and getattr(value, "name", name) != name:
                raise PaumerError(f"{plugin.name}: entry point {name!r} is strategy {value.name!r}; give both one name")
            register(plugin, kind, name, value)
    REGISTRY["pause"].criteria = tuple(CRITERIA)  # it takes them all
    for path in plugins.files_of_environment():
        load_plugin(path)


load_all()
