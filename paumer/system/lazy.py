"""Modules that are imported when they are first used: planning a workflow reads strategies without loading torch."""

from importlib import import_module
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """Stands in for a module; the first use of a name imports it, and later uses find the name here."""

    def __getattr__(self, name: str) -> Any:
        """The attribute of the module."""
        value = getattr(import_module(self.__name__), name)
        setattr(self, name, value)
        return value


def lazy(name: str) -> Any:
    """The module `name`, imported at its first use. Below `if TYPE_CHECKING` import it plainly, for type checkers."""
    return LazyModule(name)
