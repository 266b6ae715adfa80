"""Objects on the street and their places: vehicles, people, posts, traffic lights, signs and bins."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from paumer.data.scenes import paint
from paumer.data.scenes.canvas import Canvas, Ink, Plane, facing, tinted_ink
from paumer.data.scenes.paint import Colour, chance, pick, tinted
from paumer.data.scenes.people import draw_bicycle, draw_motorcycle, draw_person, draw_rider
from paumer.data.scenes.surroundings import Character, Side, draw_tree
from paumer.data.scenes.vehicles import draw_bus, draw_car, draw_train, draw_truck

WHITE: Colour = (232, 232, 228)
SIGN_RED: Colour = (190, 30, 35)
SIGN_BLUE: Colour = (30, 70, 160)
SIGN_YELLOW: Colour = (230, 185, 35)
LAMPS: tuple[tuple[float, Colour], ...] = ((0.82, (255, 60, 45)), (0.5, (255, 190, 60)), (0.18, (70, 240, 150)))


def _post(canvas: Canvas, rng: np.random.Generator, x: float, z: float, height: float, width: float) -> Plane:
    """A post in the middle (at 5 m) of a plane that faces the camera."""
    plane = facing(canvas, x, z, 5.0)
    reach = canvas.light.sun * height
    canvas.shadow(((x - width / 2, z), (x + width / 2, z), (x + reach + width / 2, z + 0.4), (x + reach, z + 0.4)))
    ink = tinted_ink(rng, paint.GREYS + paint.PALES[:2] + paint.EARTHS[4:] + paint.GREENS[4:], paint.POLE)
    plane.rectangle(5.0 - width / 2, 5.0 + width / 2, 0.0, height, ink)
    return plane


def draw_lamp_post(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """A street lamp with an arm over the road."""
    height, width = rng.uniform(4.5, 9.0), rng.uniform(0.16, 0.28)
    plane = _post(canvas, rng, x, z, height, width)
    arm = 5.0 - np.sign(x) * rng.uniform(0.6, 2.4)
    ink = tinted_ink(rng, paint.GREYS, paint.POLE)
    plane.bar((5.0, height), (arm, height + 0.3), 0.14, ink)
    plane.bar((arm - 0.3, height + 0.25), (arm + 0.3, height + 0.25), 0.22, ink)


def draw_bollard(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """A short post at the kerb."""
    _post(canvas, rng, x, z, rng.uniform(0.8, 1.2), rng.uniform(0.1, 0.18))


def draw_traffic_light(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """A dark box with one lit lamp, on a post or on an arm over the road."""
    base = rng.uniform(2.1, 2.8)
    if chance(rng, 0.25):
        base = rng.uniform(3.6, 4.6)
        plane = _post(canvas, rng, x, z, base + 0.8, 0.2)
        arm = 5.0 - np.sign(x) * rng.uniform(1.0, 3.0)
        plane.bar((5.0, base + 0.6), (arm, base + 0.6), 0.14, tinted_ink(rng, paint.GREYS, paint.POLE))
        _draw_lamps(plane, rng, arm, base)
    else:
        plane = _post(canvas, rng, x, z, base + 0.5, 0.2)
    _draw_lamps(plane, rng, 5.0, base)


def _draw_lamps(plane: Plane, rng: np.random.Generator, along: float, base: float) -> None:
    height, half = 1.3, 0.29
    housing = Ink(
        tinted(rng, ((25, 27, 28), (40, 42, 40), (35, 45, 38), (150, 125, 40))), paint.TRAFFIC_LIGHT, paint.SMOOTH
    )
    plane.rectangle(along - half, along + half, base, base + height, housing)
    lit = int(rng.integers(3)) if chance(rng, 0.92) else -1
    for index, (share, colour) in enumerate(LAMPS):
        shown = colour if index == lit else (48, 48, 46)
        plane.disc(along, base + share * height, 0.23 if index == lit else 0.15, Ink(shown))


def draw_sign(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """A traffic sign or two on a post."""
    height, size = rng.uniform(2.2, 3.0), rng.uniform(0.36, 0.52)
    plane = _post(canvas, rng, x, z, height, 0.16)
    _draw_plate(plane, rng, height - 0.1, size)
    if chance(rng, 0.3):
        _draw_plate(plane, rng, height - 0.2 - 2 * size, size)


def _draw_plate(plane: Plane, rng: np.random.Generator, up: float, size: float) -> None:
    kind = pick(rng, ("ban", "blue disc", "triangle", "board", "diamond"))
    edge = Ink(
        tinted(rng, (SIGN_BLUE if kind in ("blue disc", "board") else SIGN_RED,)), paint.TRAFFIC_SIGN, paint.SMOOTH
    )
    if kind in ("ban", "blue disc"):
        plane.disc(5.0, up, size, edge)
        if kind == "ban":
            plane.disc(5.0, up, 0.68 * size, Ink(WHITE))
        else:
            plane.rectangle(5.0 - 0.1, 5.0 + 0.1, up - 0.6 * size, up + 0.6 * size, Ink(WHITE))
    elif kind == "board":
        plane.rectangle(5.0 - size, 5.0 + size, up - size, up + size, edge)
        plane.rectangle(5.0 - 0.6 * size, 5.0 + 0.6 * size, up - 0.5 * size, up + 0.6 * size, Ink(WHITE))
    elif kind == "triangle":
        for scale, ink in ((1.1, edge), (0.62, Ink(WHITE))):
            half, low = scale * size, up - 0.55 * scale * size
            plane.polygon(((5.0 - half, low), (5.0 + half, low), (5.0, low + 1.75 * half)), ink)
    else:
        for scale, ink in ((1.1, Ink(WHITE, paint.TRAFFIC_SIGN)), (0.8, Ink(SIGN_YELLOW))):
            half = scale * size
            plane.polygon(((5.0 - half, up), (5.0, up - half), (5.0 + half, up), (5.0, up + half)), ink)


def draw_guide_board(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """A large board with lines of text, on two posts or beside the road."""
    base, width, height = rng.uniform(1.8, 3.2), rng.uniform(1.4, 2.6), rng.uniform(0.8, 1.5)
    plane = _post(canvas, rng, x, z, base + height, 0.16)
    colour = tinted(rng, (SIGN_BLUE, SIGN_YELLOW, WHITE, (25, 95, 60)))
    text = (30, 30, 34) if sum(colour) > 380 else WHITE
    left, right = 5.0 - width / 2, 5.0 + width / 2
    plane.rectangle(left, right, base, base + height, Ink(WHITE, paint.TRAFFIC_SIGN))
    plane.rectangle(left + 0.06, right - 0.06, base + 0.06, base + height - 0.06, Ink(colour))
    for line in (0.25, 0.55, 0.8):
        end = left + width * rng.uniform(0.45, 0.9)
        plane.rectangle(left + 0.15, end, base + line * height - 0.07, base + line * height + 0.07, Ink(text))


def draw_bin(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """A bin, a switch box or a crate: a thing that no evaluated class covers."""
    plane = facing(canvas, x, z)
    half, height = rng.uniform(0.25, 0.6), rng.uniform(0.7, 1.5)
    ink = tinted_ink(rng, paint.GREYS + paint.GREENS + paint.VIVIDS + paint.EARTHS, paint.STATIC, paint.FINE)
    plane.rectangle(1.0 - half, 1.0 + half, 0.0, height, ink)
    plane.rectangle(1.0 - half, 1.0 + half, height - 0.15, height, tinted_ink(rng, paint.GREYS))


class Item(NamedTuple):
    """A thing to draw and its place in metres; the farthest is drawn first."""

    x: float
    depth: float
    draw: Callable[[Canvas, np.random.Generator], object]


def _item(draw: Callable[..., object], x: float, z: float, **options: object) -> Item:
    return Item(x, z, partial(draw, x=x, z=z, **options))


def _distance(rng: np.random.Generator, near: float, far: float) -> float:
    """A distance from `near` to `far`, drawn log-uniformly, so that closer ones are likelier."""
    return float(near * (far / near) ** rng.random())


def populate(
    rng: np.random.Generator, sides: tuple[Side, Side], end: float, character: Character, rails: float | None
) -> list[Item]:
    """All objects on the street, farthest first."""
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
    """Vehicles in the lanes, and sometimes crossing ones."""
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
        distances = np.arange(rng.uniform(7.0, 7.0 + spacing), 80.0, spacing)
        items += [_item(draw_tree, x, z, height=rng.uniform(4.0, 8.0)) for z in distances]
    if chance(rng, 0.15):
        items += [_item(draw_bollard, x, z) for z in np.arange(rng.uniform(6.0, 9.0), 30.0, 2.0)]
    if chance(rng, 0.25):
        z = _distance(rng, 7.0, 18.0)
        items += [_item(draw_traffic_light, x, z), _item(draw_traffic_light, x, z + rng.uniform(8.0, 15.0))]
    for draw, mean in ((draw_sign, 0.5), (draw_guide_board, 0.08), (draw_bin, 0.2)):
        for _ in range(int(rng.poisson(mean))):
            items.append(_item(draw, x, _distance(rng, 7.0, 22.0)))
    return items
