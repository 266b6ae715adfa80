"""YAML of settings: plain values alone, every key once, and no text that grows without bounds when it is read."""

from typing import Any

import yaml

# What aliases may make of a text: the largest of our own experiment files has about 300 values.
MAX_VALUES = 100_000


class StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, which builds no objects, without repeated keys and without alias bombs."""

    def get_single_node(self) -> yaml.Node | None:
        """The tree of a document, refused where aliases make it endless or too large."""
        node = super().get_single_node()
        if node is not None and self._count(node, {}, set()) > MAX_VALUES:
            raise yaml.YAMLError(f"aliases make more than {MAX_VALUES} values of it")
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping, refused where a key stands twice; what `<<` merges in later may be replaced."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # refused when it is built: it is no key
            if key.value in seen:
                raise yaml.composer.ComposerError(
                    problem=f"key {key.value!r} stands there twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return node

    def _count(self, node: yaml.Node, known: dict[int, int], open_nodes: set[int]) -> int:
        """How many values a node stands for, those of its aliases each time."""
        if id(node) in open_nodes:
            raise yaml.YAMLError("an alias stands inside what it names")
        if id(node) not in known:
            open_nodes.add(id(node))
            inside = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
            parts = inside if isinstance(node, yaml.CollectionNode) else []
            known[id(node)] = 1 + sum(self._count(part, known, open_nodes) for part in parts)
            open_nodes.discard(id(node))
        return known[id(node)]


def load_yaml(text: str, loader: type[StrictLoader] = StrictLoader) -> Any:
    """Read a YAML document.

    Raises:
        ValueError: it is none, or one that is refused; the text is one line.
    """
    try:
        return yaml.load(text, Loader=loader)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError) as error:  # tags of wrong values, too
        raise ValueError(" ".join(str(error).replace('"<unicode string>", ', "").split())) from None
