"""What stands along a street: rows of buildings, walls, fences and trees, and what closes its far end."""

from typing import NamedTuple

import numpy as np

from paumer.data.scenes.buildings import draw_building, draw_fence, draw_wall
from paumer.data.scenes.canvas import Box, Canvas, Plane
from paumer.data.scenes.ground import Side
from paumer.data.scenes.palette import chance
from paumer.data.scenes.plants import draw_hedge, draw_tree

KINDS = ("building", "trees", "wall", "fence", "gap")


class Character(NamedTuple):
    """A kind of street: how likely each of KINDS is, the houses' storeys, how green and how busy it is."""

    shares: tuple[float, float, float, float, float]
    storeys: tuple[int, int]
    green: float
    busy: float


CITY = Character((0.66, 0.06, 0.1, 0.08, 0.1), (3, 8), 0.15, 1.3)
SUBURB = Character((0.3, 0.24, 0.17, 0.18, 0.11), (1, 4), 0.6, 0.8)
AVENUE = Character((0.2, 0.4, 0.14, 0.16, 0.1), (2, 6), 0.7, 0.8)


def draw_far_end(canvas: Canvas, rng: np.random.Generator, character: Character) -> float:
    """Close the street with houses or trees across it; returns how far away that is, in metres."""
    end = rng.uniform(55.0, 140.0)
    x = -90.0
    while x < 90.0:
        width = rng.uniform(8.0, 25.0)
        if chance(rng, 0.5 * (1 - character.green) + 0.1):
            height = rng.uniform(*character.storeys) * 3.2 + 2.0
            draw_building(canvas, rng, Box(x, x + width, end + rng.uniform(0, 10), end + 20), height)
        elif chance(rng, 0.6):
            draw_hedge(canvas, rng, x + width / 2, end, end + 4.0, rng.uniform(4.0, 11.0))
        x += width
    return end


def draw_row(canvas: Canvas, rng: np.random.Generator, side: Side, end: float, character: Character) -> None:
    """Fill one side of the street from far to near."""
    z = end
    while z > 1.5:
        near = max(z - rng.uniform(7.0, 24.0), 1.5)
        kind = KINDS[int(rng.choice(len(KINDS), p=character.shares))]
        _draw_part(canvas, rng, side, near, z, kind, character)
        z = near


def _draw_part(
    canvas: Canvas, rng: np.random.Generator, side: Side, near: float, far: float, kind: str, character: Character
) -> None:
    x = side.x(side.line)
    if kind == "building":
        _draw_house(canvas, rng, side, side.line + rng.uniform(0.0, 1.5), near, far, character)
    elif kind == "trees":
        _draw_trees(canvas, rng, side, side.line + 2.5, near, far)
    elif kind in ("wall", "fence"):
        if chance(rng, 0.5):
            _draw_house(canvas, rng, side, side.line + rng.uniform(4.0, 9.0), near, far, character)
        else:
            _draw_trees(canvas, rng, side, side.line + 4.0, near, far)
        plane = Plane(canvas, (x, near), (x, far))
        if kind == "wall":
            draw_wall(canvas, rng, plane, rng.uniform(1.2, 3.6))
        else:
            draw_fence(canvas, rng, plane, rng.uniform(1.1, 2.6))


def _draw_house(
    canvas: Canvas, rng: np.random.Generator, side: Side, line: float, near: float, far: float, character: Character
) -> None:
    inner, outer = side.x(line), side.x(line + rng.uniform(8.0, 14.0))
    height = rng.uniform(*character.storeys) * 3.2 + rng.uniform(1.0, 2.5)
    draw_building(canvas, rng, Box(min(inner, outer), max(inner, outer), near, far), height)


def _draw_trees(canvas: Canvas, rng: np.random.Generator, side: Side, line: float, near: float, far: float) -> None:
    """Trees behind a lower hedge, or the hedge alone."""
    if chance(rng, 0.7):
        for z in np.arange(far, max(near, 5.0), -rng.uniform(4.0, 7.0)):
            draw_tree(canvas, rng, side.x(line + rng.uniform(1.0, 4.0)), z, rng.uniform(4.5, 11.0))
    if chance(rng, 0.75):
        draw_hedge(canvas, rng, side.x(line), max(near, 3.5), far, rng.uniform(0.8, 3.0))
