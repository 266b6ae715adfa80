"""The order in which tables and legends name recipes, strategies and criteria, and what the strategies do."""

from collections.abc import Callable, Iterable

from paumer.registry import CHAIN, CONTROLS, RECIPES, REGISTRY, SMALLER_BACKBONE

# The criteria that frame every other: by chance, and by the ground truth.
CHANCE, BEST = CONTROLS
# The rows of a table that no registered strategy makes.
DENSE = ("dense", "every patch runs through every block")
SMALLER = (SMALLER_BACKBONE, "a smaller network, run dense: what the same time buys without any method")


def in_order(names: Iterable[str], key: Callable[[str], tuple]) -> list[str]:
    """Each name once, sorted by one of the keys below."""
    return sorted(set(names), key=key)


def ranks(names: Iterable[str], key: Callable[[str], tuple]) -> dict[str, int]:
    """The place of each name when sorted by one of the keys below."""
    return {name: place for place, name in enumerate(in_order(names, key))}


def recipe_key(recipe: str) -> tuple:
    """Recipes in their usual order, others after them."""
    return _place(recipe, list(RECIPES)), recipe


def strategy_key(strategy: str) -> tuple:
    """Dense, the registered strategies in their order, others, and then compositions by their parts."""
    parts = strategy.split(CHAIN)
    known = [DENSE[0], *(name for name in REGISTRY if name != DENSE[0])]
    return len(parts), [_place(part, known) for part in parts], strategy


def criterion_key(criterion: str) -> tuple:
    """Informed criteria, and then the controls."""
    return CONTROLS.index(criterion) + 1 if criterion in CONTROLS else 0, criterion


def descriptions(strategies: Iterable[str]) -> list[tuple[str, str]]:
    """What each single strategy that occurs does, alone or within a composition, in a line."""
    known = dict([DENSE, *((name, entry.description) for name, entry in REGISTRY.items()), SMALLER])
    parts = [part for strategy in strategies for part in strategy.split(CHAIN)]
    return [(name, known[name]) for name in in_order(parts, strategy_key) if name in known]


def _place(name: str, known: list[str]) -> int:
    return known.index(name) if name in known else len(known)
