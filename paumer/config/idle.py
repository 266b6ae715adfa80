"""Keys that would do nothing: a file that sets one is refused, with what would make it do something."""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from pydantic_core import to_jsonable_python

from paumer.config.base import Section

Idle = tuple[str, str]  # a key, and beside what it does nothing, with the remedy


class OnlyWith(NamedTuple):
    """Metadata of a field that does nothing unless another field of its section has a value.

    Attributes:
        key: the other field.
        value: its value; None: any above 0.
    """

    key: str
    value: str | None = None


class Without(NamedTuple):
    """Metadata of a field that does nothing where another field of its section is set.

    Attributes:
        key: the other field.
    """

    key: str


def idle_keys(section: Section, path: str) -> Iterator[Idle]:
    """The keys of a section and those below it that are set beside others with which they do nothing."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from idle_keys(value, f"{path}.{name}")
        for only in field.metadata:
            if isinstance(only, Without) and (found := getattr(section, only.key)) is not None:
                yield from set_keys(section, path, [name], f"with {only.key}: {found}; remove {path}.{only.key}")
            if isinstance(only, OnlyWith):
                found = getattr(section, only.key)
                if found <= 0 if only.value is None else found != only.value:
                    wanted = "above 0" if only.value is None else f"to {only.value}"
                    yield from set_keys(
                        section, path, [name], f"with {only.key}: {found}; set {path}.{only.key} {wanted}"
                    )


def set_keys(section: Section, path: str, names: Collection[str], reason: str) -> Iterator[Idle]:
    """Those of the named keys that have another value than by default: what a stage stores names all of them."""
    values = section.model_dump(mode="json", include=set(names))
    for name in names:
        default = to_jsonable_python(type(section).model_fields[name].get_default(call_default_factory=True))
        if values.get(name, default) != default:
            yield f"{path}.{name}", reason


def first_idle(idle: Iterator[Idle]) -> str | None:
    """The first of them in a sentence; None where every key does something."""
    return next((f"{key}: does nothing {reason}, or leave it out" for key, reason in idle), None)
