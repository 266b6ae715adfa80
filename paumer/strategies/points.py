"""From operating points, as the configuration writes them, to strategies that run."""

from collections.abc import Sequence
from importlib import import_module

from paumer.registry import Entry, Parameters, Point
from paumer.strategies.chain import Chain
from paumer.strategies.contract import Dense, Network, Strategy


def build_strategy(point: Point) -> Strategy:
    """The strategy of an operating point; a composition becomes a chain."""
    links = tuple(_build(entry, parameters, point.criterion) for entry, parameters in point.links)
    if not links:
        return Dense()
    return links[0] if len(links) == 1 else Chain(links)


def runnable(network: Network, points: Sequence[Point], label: str) -> list[tuple[Point, Strategy]]:
    """The operating points that a network can run, with their strategies; the others are named with the reason.

    Args:
        network: what they are to run in.
        points: operating points.
        label: what to call the network.

    Raises:
        PaumerError: the parameters of one do not fit the network's depth.
    """
    chosen = []
    for point in points:
        point.check_depth(len(network.blocks))
        strategy = build_strategy(point)
        if reason := strategy.skip(network):
            print(f"{label}: {point.strategy} {point.schedule} left out: {reason}")
        else:
            chosen.append((point, strategy))
    return chosen


def _build(entry: Entry, parameters: Parameters, criterion: str) -> Strategy:
    module, name = entry.implementation.split(":")
    implementation = getattr(import_module(module), name)
    return implementation(parameters, criterion) if entry.criteria else implementation(parameters)
