"""Who and what is on the street: vehicles, people and furniture, each with its place."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from paumer.data.scenes.canvas import Canvas
from paumer.data.scenes.furniture import (
    draw_bin,
    draw_bollard,
    draw_guide_board,
    draw_lamp_post,
    draw_sign,
    draw_traffic_light,
)
from paumer.data.scenes.ground import Side
from paumer.data.scenes.palette import chance
from paumer.data.scenes.people import draw_bicycle, draw_motorcycle, draw_person, draw_rider
from paumer.data.scenes.plants import draw_tree
from paumer.data.scenes.street import Character
from paumer.data.scenes.vehicles import draw_bus, draw_car, draw_train, draw_truck

Draw = Callable[[Canvas, np.random.Generator], None]


class Item(NamedTuple):
    """A thing to draw and its place in metres; the farthest is drawn first."""

    x: float
    depth: float
    draw: Draw


def _item(draw: Callable[..., object], x: float, z: float, **options: object) -> Item:
    def paint(canvas: Canvas, rng: np.random.Generator) -> None:
        draw(canvas, rng, x, z, **options)

    return Item(x, z, paint)


def _distance(rng: np.random.Generator, near: float, far: float) -> float:
    """A distance from `near` to `far`, closer ones likelier, as they fill more of the picture."""
    return float(near * (far / near) ** rng.random())


def populate(
    rng: np.random.Generator, sides: tuple[Side, Side], end: float, character: Character, rails: float | None
) -> list[Item]:
    """Everything that stands or moves on the street, farthest first."""
    items = _moving(rng, sides, character)
    for side in sides:
        items += _parked(rng, side, character) + _furniture(rng, side) + _walkers(rng, side, character)
        items += _two_wheelers(rng, side)
    if rails is not None:
        items = [item for item in items if abs(item.x - rails) > 2.6]
        across = chance(rng, 0.15)
        x = rng.uniform(-8, 8) if across else rails
        items.append(_item(draw_train, x, _distance(rng, 18, 35) if across else _distance(rng, 9, 25), across=across))
    items = [item for item in items if item.depth < end]
    return sorted(items, key=lambda item: -item.depth)


def _moving(rng: np.random.Generator, sides: tuple[Side, Side], character: Character) -> list[Item]:
    """Vehicles in the lanes and, now and then, one that crosses."""
    items: list[Item] = []
    lanes = [x for x in (0.0, -3.4, -6.6, 3.4) if -sides[0].kerb + 1.3 < x < sides[1].kerb - 1.3]
    for lane in lanes:
        z = _distance(rng, 6.0, 20.0)
        while z < 45.0:
            if chance(rng, 0.31 * character.busy):
                items.append(_vehicle(rng, lane + rng.normal(0.0, 0.2), z, across=False))
            z += rng.uniform(13.0, 30.0)
    if chance(rng, 0.14):
        z = _distance(rng, 9.0, 25.0)
        for _ in range(int(rng.integers(1, 3))):
            items.append(_vehicle(rng, rng.uniform(-0.4, 0.4) * z, z, across=True))
            z += rng.uniform(3.5, 6.0)
    return items


def _vehicle(rng: np.random.Generator, x: float, z: float, across: bool) -> Item:
    draw = (draw_car, draw_bus, draw_truck)[int(rng.choice(3, p=(0.87, 0.065, 0.065)))]
    # A tall vehicle that is too close hides the whole street.
    return _item(draw, x, z if draw is draw_car else max(z, 12.0), across=across)


def _parked(rng: np.random.Generator, side: Side, character: Character) -> list[Item]:
    """A row of cars along the kerb, with gaps."""
    items: list[Item] = []
    if side.kerb < 3.4 or not chance(rng, 0.34 * character.busy):
        return items
    z, density = rng.uniform(3.0, 9.0), rng.uniform(0.3, 0.95)
    while z < 45.0:
        if chance(rng, density):
            draw = draw_truck if chance(rng, 0.02) and z > 9.0 else draw_car
            items.append(_item(draw, side.x(side.kerb - 1.05), z, across=False))
        z += rng.uniform(5.3, 7.0) if z < 40 else 10.0
    return items


def _walkers(rng: np.random.Generator, side: Side, character: Character) -> list[Item]:
    """People on the pavement, alone or in groups, and some who cross the road."""
    items: list[Item] = []
    for _ in range(int(rng.poisson(0.7 * character.busy))):
        z = _distance(rng, 5.0, 15.0)
        x = rng.uniform(side.verge, side.line) if chance(rng, 0.85) else rng.uniform(0.0, side.kerb)
        for _ in range(int(rng.integers(1, 4))):
            items.append(_item(draw_person, side.x(x), z))
            x, z = x + rng.normal(0.0, 0.5), z + rng.uniform(0.1, 1.0)
    return items


def _two_wheelers(rng: np.random.Generator, side: Side) -> list[Item]:
    """Riders on the road, and bicycles and motorcycles left on the pavement."""
    items: list[Item] = []
    if chance(rng, 0.2):
        x, z = side.x(rng.uniform(0.3, 0.95) * side.kerb), _distance(rng, 5.0, 11.0)
        items.append(_item(draw_rider, x, z, along=chance(rng, 0.4), motor=chance(rng, 0.3)))
    for draw, probability in ((draw_bicycle, 0.18), (draw_motorcycle, 0.14)):
        if not chance(rng, probability):
            continue
        z = _distance(rng, 4.5, 10.0)
        for _ in range(int(rng.integers(1, 4))):
            items.append(_item(draw, side.x(rng.uniform(side.verge, side.line)), z, along=chance(rng, 0.2)))
            z += rng.uniform(0.6, 1.6)
    return items


def _furniture(rng: np.random.Generator, side: Side) -> list[Item]:
    """Posts of all kinds, street trees and bins between the pavement and the road."""
    items: list[Item] = []
    x = side.x(side.verge + 0.35)
    if chance(rng, 0.75):
        spacing = rng.uniform(12.0, 25.0)
        items += [_item(draw_lamp_post, x, z) for z in np.arange(rng.uniform(8.0, 8.0 + spacing), 45.0, spacing)]
    if chance(rng, 0.3):
        spacing = rng.uniform(6.0, 14.0)
        items += [_tree(rng, x, z) for z in np.arange(rng.uniform(7.0, 7.0 + spacing), 80.0, spacing)]
    if chance(rng, 0.15):
        items += [_item(draw_bollard, x, z) for z in np.arange(rng.uniform(6.0, 9.0), 30.0, 2.0)]
    if chance(rng, 0.25):
        z = _distance(rng, 7.0, 18.0)
        items += [_item(draw_traffic_light, x, z), _item(draw_traffic_light, x, z + rng.uniform(8.0, 15.0))]
    for draw, mean in ((draw_sign, 0.5), (draw_guide_board, 0.08), (draw_bin, 0.2)):
        for _ in range(int(rng.poisson(mean))):
            items.append(_item(draw, x, _distance(rng, 7.0, 22.0)))
    return items


def _tree(rng: np.random.Generator, x: float, z: float) -> Item:
    return _item(draw_tree, x, z, height=rng.uniform(4.0, 8.0))
