"""docs/architecture.md shows the packages as they import each other, and names what exists.

`python tests/test_architecture.py` draws the picture anew.
"""

import ast
import re
from itertools import pairwise
from pathlib import Path

import grimp
import networkx
import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/architecture.md"
PICTURE = re.compile(r"```mermaid\n.*?```", re.DOTALL)
MOST_FLOORS = 12


def modules() -> networkx.DiGraph:
    """The modules, with an arrow from each to those that it imports: inside functions too, but not for types alone."""
    imports = grimp.build_graph("paumer", exclude_type_checking_imports=True)
    graph = networkx.DiGraph()
    for module in imports.modules:
        graph.add_edges_from((module, other) for other in imports.find_modules_directly_imported_by(module))
    return graph


def packages() -> networkx.DiGraph:
    """The packages, with an arrow from each to those that it imports and reaches by no detour."""
    places = [(one.split(".")[1:2], other.split(".")[1:2]) for one, other in modules().edges]
    graph = networkx.DiGraph((*one, *other) for one, other in places if one and other and one != other)
    return networkx.transitive_reduction(graph)


def picture() -> str:
    """The packages as a diagram, the lowest at the bottom."""
    arrows = sorted(f"    {one} --> {other}" for one, other in packages().edges)
    return "\n".join(["```mermaid", "flowchart TD", *arrows, "```"])


def test_picture_is_what_is_imported() -> None:
    assert PICTURE.search(PAGE.read_text(encoding="utf-8"))[0] == picture(), f"run python {Path(__file__).name}"


def test_modules_have_few_floors() -> None:
    chain = networkx.dag_longest_path(modules())
    assert len(chain) <= MOST_FLOORS, " -> ".join(chain)


def test_every_package_is_described() -> None:
    described = re.findall(r"^\| \[(\w+)\]", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(described) == sorted(path.parent.name for path in (ROOT / "paumer").glob("*/__init__.py"))


@pytest.mark.parametrize(
    ("path", "name"), re.findall(r"\[`([\w.]+)`\]\(\.\./(paumer/[\w/]+\.py)\)", PAGE.read_text("utf-8"))
)
def test_walks_name_what_exists(path: str, name: str) -> None:
    """The page links `name` or `Class.name` to the file that defines it."""
    defined, wanted = ast.parse((ROOT / name).read_text(encoding="utf-8")), path.split(".")
    for outer, inner in pairwise(["", *wanted]):
        nodes = {getattr(node, "name", ""): node for node in ast.walk(defined)}
        assert inner in nodes, f"{name} defines no {path}: {outer} has no {inner}"
        defined = nodes[inner]


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(PICTURE.sub(lambda _: picture(), text), encoding="utf-8")
