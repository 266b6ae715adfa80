"""Any configuration is accepted, or refused in one line that names the key at fault.

Valid configurations are changed at random: a value is replaced by any other, a key is removed, or one is added.
"""

from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples

from paumer.config.base import parse
from paumer.config.experiment import Experiment
from paumer.system.errors import PaumerError, printable

REPOSITORY = Path(__file__).parents[2]
FILES = [REPOSITORY / "config.yaml", *sorted((REPOSITORY / "workflow/experiments").glob("*.yaml"))]
CASES = examples(250)

Key = tuple[str | int, ...]


def full(path: Path) -> dict[str, Any]:
    """An experiment with all its keys, those that have defaults, too."""
    return parse(Experiment, yaml.safe_load(path.read_text()), str(path)).model_dump(mode="json")


def places(content: Any, here: Key = ()) -> list[Key]:
    """Where every value of a configuration stands."""
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [here, *(place for key, value in inside for place in places(value, (*here, key)))]


def at(content: Any, place: Key) -> Any:
    for key in place:
        content = content[key]
    return content


VALID = [full(path) for path in FILES]
PLACES = [places(content) for content in VALID]
# Values that are nearly right, those that are wrong in kind, and those that break careless arithmetic.
NOTATIONS = st.from_regex(r"(exit:|scale:)?[0-9]{1,2}(-[0-9]{1,2})?[:@][0-9]?\.[0-9]{1,5}( keep 3)?", fullmatch=True)
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 1, -1, 2**63, 10**30, 1e308, 0.5])
SCALARS = (
    st.none() | st.booleans() | NUMBERS | st.text(max_size=20) | NOTATIONS | st.sampled_from(["{", "!!x", "&a [*a]"])
)
NEW = st.text(st.characters(codec="utf-8", exclude_characters="'\"\\"), min_size=1, max_size=12)
KEYS = st.text(max_size=8) | st.sampled_from(["name", "blocks", "strategy", "depth"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)


@st.composite
def changes(draw: st.DrawFn) -> tuple[dict[str, Any], Key, str]:
    """A changed configuration, where it was changed, and how."""
    number = draw(st.integers(0, len(VALID) - 1))
    content, place = deepcopy(VALID[number]), draw(st.sampled_from(PLACES[number]))
    target = at(content, place)
    kinds = ["replace", "remove"] if place else []
    kind = draw(st.sampled_from([*kinds, "add"] if isinstance(target, dict) else kinds))
    if kind == "replace":
        at(content, place[:-1])[place[-1]] = draw(VALUES)
    elif kind == "remove":
        del at(content, place[:-1])[place[-1]]
    else:
        key = draw(NEW)
        target[key] = draw(VALUES)
        place = (*place, key)
    return content, place, kind


@given(changes())
@settings(max_examples=CASES)
def test_every_configuration_is_accepted_or_its_fault_named(change: tuple[dict[str, Any], Key, str]) -> None:
    content, place, _ = change
    try:
        accepted = parse(Experiment, content, "test")
    except PaumerError as error:
        line = str(error)
        assert line.startswith("test: ")
        assert "\n" not in line
        assert len(line) < 1000
        names = [key for key in place if isinstance(key, str)]
        spellings = (repr(names[-1])[1:-1], printable(" ".join(names[-1].split()))) if names else ("",)
        assert any(name in line for name in spellings), (place, line)
    else:
        assert parse(Experiment, accepted.model_dump(mode="json"), "again") == accepted
