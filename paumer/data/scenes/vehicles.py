"""Cars, vans, trucks, buses and trams, as boxes with a flank and an end."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from paumer.data.scenes import paint
from paumer.data.scenes.canvas import Box, Canvas, Ink, Plane, tinted_ink
from paumer.data.scenes.paint import Colour, chance, mixed, tinted

TYRE: Colour = (24, 24, 26)
RED: Colour = (190, 25, 25)
LAMP: Colour = (245, 240, 215)


class Look(NamedTuple):
    """Height in metres and colours of a vehicle; `rear`: its rear faces the camera."""

    height: float
    body: Ink
    glass: Ink
    accent: Ink
    rear: bool


Side = Callable[[Plane, Look], None]


def footprint(x: float, z: float, width: float, length: float, across: bool) -> Box:
    """The ground that a vehicle centred on `x` covers, its nearest point at `z`; `across` turns it by 90 degrees."""
    if across:
        width, length = length, width
    return Box(x - width / 2, x + width / 2, z, z + length)


def _cast_shadow(canvas: Canvas, box: Box, height: float) -> None:
    reach = canvas.light.sun * height
    left, right = min(box.left, box.left + reach) - 0.1, max(box.right, box.right + reach) + 0.1
    canvas.shadow(((left, box.near - 0.15), (right, box.near - 0.15), (right, box.far), (left, box.far)))
    canvas.shadow(((box.left, box.near), (box.right, box.near), (box.right, box.far), (box.left, box.far)))


def _draw_sides(canvas: Canvas, box: Box, look: Look, flank: Side, end: Side, across: bool) -> None:
    """Shadow, the side along the street where it is visible, and the side that faces the camera."""
    _cast_shadow(canvas, box, look.height)
    along, facing = (end, flank) if across else (flank, end)
    if plane := box.flank(canvas):
        along(plane, look)
    facing(box.front(canvas), look)


def draw_car(canvas: Canvas, rng: np.random.Generator, x: float, z: float, across: bool = False) -> None:
    """A car or a small van."""
    tall = chance(rng, 0.25)
    length, width, height = rng.uniform(3.7, 5.0), rng.uniform(1.65, 1.9), rng.uniform(1.4, 1.6)
    height += rng.uniform(0.15, 0.6) if tall else 0.0
    box = footprint(x, z, width, length, across)
    _cast_shadow(canvas, box, height)
    body = tinted_ink(rng, paint.VEHICLES, paint.CAR)
    look = Look(height, body, tinted_ink(rng, paint.GLASS[:3]), Ink(RED), chance(rng, 0.6))
    flank, front = box.flank(canvas), box.front(canvas)
    if across:
        if flank:
            flank.rectangle(0.05, flank.length, 0.25, 0.55 * height, look.body)
        _car_flank(front, look, tall)
        return
    if flank:
        _car_flank(flank, look, tall)
        _join_cabin(canvas, flank, front, look)
    _car_end(front, look)


def _car_flank(plane: Plane, look: Look, tall: bool) -> None:
    length, height, belt = plane.length, look.height, 0.58 * look.height
    rear, nose = (0.02, 0.8) if tall else (0.05, 0.74)
    if not look.rear:
        rear, nose = 1 - nose, 1 - rear
    slope = 0.09 * length
    roof = (rear * length + slope * (0.5 if look.rear else 1.4), nose * length - slope * (1.4 if look.rear else 0.5))
    cabin = ((rear * length, belt), (nose * length, belt), (roof[1], height), (roof[0], height))
    plane.polygon(cabin, look.body)
    plane.polygon(((0, 0.22), (length, 0.22), (length, 0.9 * belt), (0.93 * length, belt), (0, belt)), look.body)
    middle = 0.5 * (roof[0] + roof[1])
    for inner, outer, foot in ((middle - 0.06, roof[0] + 0.06, rear), (middle + 0.06, roof[1] - 0.06, nose)):
        corner = foot * length + (0.2 if foot == rear else -0.2)
        plane.polygon(((inner, belt), (corner, belt), (outer, height - 0.1), (inner, height - 0.1)), look.glass)
    for axle in (0.19, 0.8):
        _wheel(plane, axle * length, 0.33, look.body)


def _wheel(plane: Plane, along: float, radius: float, body: Ink) -> None:
    plane.disc(along, radius, radius, Ink(TYRE, body.label))
    plane.disc(along, radius, 0.55 * radius, Ink((125, 125, 128)))


def _join_cabin(canvas: Canvas, flank: Plane, front: Plane, look: Look) -> None:
    """Close the wedge between the end's roof line and the flank's, which starts farther away."""
    side = front.length - 0.08 if front.point(front.length, 0.0) == flank.point(0.0, 0.0) else 0.08
    belt = 0.58 * look.height
    share = 0.32 if not look.rear else 0.1
    points = [front.point(side, look.height - 0.05), flank.point(share * flank.length, look.height)]
    points += [flank.point(share * flank.length, belt), front.point(side, belt)]
    canvas.polygon(points, look.body._replace(colour=look.body.detail(0.8).colour), flank.depth)


def _car_end(plane: Plane, look: Look) -> None:
    width, height, belt = plane.length, look.height, 0.58 * look.height
    plane.band(0.0, 0.4, Ink(TYRE, paint.CAR))
    plane.band(0.0, 0.2, Ink((40, 40, 42)), 0.22, 0.78)
    plane.polygon(((0.02, belt), (width - 0.02, belt), (0.88 * width, height), (0.12 * width, height)), look.body)
    plane.band(0.25, belt, look.body)
    low, top = belt + 0.03, height - 0.12
    plane.polygon(((0.12, low), (width - 0.12, low), (0.83 * width, top), (0.17 * width, top)), look.glass)
    lamp = look.accent if look.rear else Ink(LAMP)
    for left in (0.03, 0.79):
        plane.band(belt - 0.24, belt - 0.08, lamp, left, left + 0.18)
    plane.band(0.42, 0.54, Ink((215, 215, 210) if look.rear else (40, 40, 42)), 0.36, 0.64)


def draw_truck(canvas: Canvas, rng: np.random.Generator, x: float, z: float, across: bool = False) -> None:
    """A truck: a cab and a cargo box of another colour."""
    height = rng.uniform(2.9, 3.8)
    box = footprint(x, z, rng.uniform(2.2, 2.5), rng.uniform(6.5, 11.0), across)
    cargo = tinted_ink(rng, paint.VEHICLES + paint.PALES + paint.GREENS + paint.EARTHS, paint.TRUCK, paint.FINE)
    glass, cab = tinted_ink(rng, paint.GLASS[:3]), tinted_ink(rng, paint.VEHICLES, paint.TRUCK)
    _draw_sides(canvas, box, Look(height, cargo, glass, cab, chance(rng, 0.6)), _truck_flank, _truck_end, across)


def _truck_flank(plane: Plane, look: Look) -> None:
    length, height = plane.length, look.height
    start, end = (0.0, 0.74) if look.rear else (0.26, 1.0)
    cab = (0.77, 1.0) if look.rear else (0.0, 0.23)
    plane.rectangle(0.1, length - 0.1, 0.5, 1.0, Ink(TYRE, paint.TRUCK))
    plane.band(1.0, height, look.body, start, end)
    plane.band(0.45, 0.85 * height, look.accent, *cab)
    plane.band(0.5 * height, 0.75 * height, look.glass, cab[0] + 0.06, cab[1] - 0.04)
    for axle in (0.12, 0.24, 0.86) if look.rear else (0.14, 0.76, 0.88):
        _wheel(plane, axle * length, 0.5, look.body)


def _truck_end(plane: Plane, look: Look) -> None:
    height = look.height
    plane.band(0.0, 0.9, Ink(TYRE, paint.TRUCK))
    plane.band(0.0, 0.5, Ink((45, 45, 48)), 0.25, 0.75)
    plane.band(0.85, height, look.body)
    if look.rear:
        line = look.body.detail(0.65)
        plane.band(0.95, height - 0.1, line, 0.49, 0.51)
        plane.band(0.85, 1.0, line)
        for left in (0.04, 0.82):
            plane.band(0.65, 0.85, Ink(RED), left, left + 0.14)
        return
    plane.band(0.45, 0.82 * height, look.accent)
    plane.band(0.48 * height, 0.76 * height, look.glass, 0.08, 0.92)
    plane.band(0.6, 0.42 * height, Ink((40, 40, 42)), 0.22, 0.78)
    for left in (0.04, 0.8):
        plane.band(0.6, 0.85, Ink(LAMP), left, left + 0.16)


def draw_bus(canvas: Canvas, rng: np.random.Generator, x: float, z: float, across: bool = False) -> None:
    """A city bus: tall, with a band of windows and a lit sign."""
    height = rng.uniform(2.9, 3.3)
    box = footprint(x, z, 2.5, rng.uniform(9.0, 13.0), across)
    body = tinted_ink(rng, (*paint.VIVIDS, *paint.VIVIDS[2:3] * 6, *paint.PALES[:2]), paint.BUS)
    glass, stripe = tinted_ink(rng, paint.GLASS[:3]), tinted_ink(rng, paint.VIVIDS + paint.PALES)
    _draw_sides(canvas, box, Look(height, body, glass, stripe, chance(rng, 0.5)), _bus_flank, _bus_end, across)


def _bus_flank(plane: Plane, look: Look) -> None:
    length, height = plane.length, look.height
    plane.band(0.3, height, look.body)
    plane.band(0.35, 0.65, look.accent)
    plane.rectangle(0.2, length - 0.2, 1.25, 0.82 * height, look.glass)
    for along in np.arange(1.6, length, 1.6):
        plane.rectangle(along, along + 0.1, 1.25, 0.82 * height, look.body.detail(0.6))
    for axle in (0.18, 0.78):
        _wheel(plane, axle * length, 0.48, look.body)


def _bus_end(plane: Plane, look: Look) -> None:
    width, height = plane.length, look.height
    plane.band(0.0, 0.4, Ink(TYRE, paint.BUS))
    plane.band(0.3, height, look.body)
    plane.rectangle(0.08, width - 0.08, 1.7 if look.rear else 1.15, 0.8 * height, look.glass)
    plane.band(0.84 * height, 0.95 * height, Ink((30, 30, 30)), 0.2, 0.8)
    plane.band(0.87 * height, 0.92 * height, Ink((235, 170, 50)), 0.26, 0.74)
    for left in (0.04, 0.82):
        plane.band(0.6, 0.95, Ink(RED if look.rear else LAMP), left, left + 0.14)


def draw_train(canvas: Canvas, rng: np.random.Generator, x: float, z: float, across: bool = False) -> None:
    """A tram: long and low over its rails, windows all along, a roof with gear and a rounded nose."""
    height, length = rng.uniform(3.2, 3.7), rng.uniform(20.0, 34.0)
    box = footprint(x, z, 2.5, length, across)
    body = tinted_ink(rng, (*paint.VIVIDS, *paint.VIVIDS[3:4] * 5, *paint.PALES[:2]), paint.TRAIN)
    stripe = Ink(mixed(tinted(rng, paint.VIVIDS + paint.PALES), (255, 255, 255), 0.2))
    look = Look(height, body, tinted_ink(rng, paint.GLASS[:2]), stripe, True)
    _draw_sides(canvas, box, look, _train_flank, _train_end, across)


def _train_flank(plane: Plane, look: Look) -> None:
    length, height = plane.length, look.height
    plane.band(0.12, height, look.body)
    plane.band(0.12, 0.5, Ink((45, 45, 48)))
    plane.band(0.85, 1.15, look.accent)
    plane.band(height - 0.4, height, Ink((95, 96, 98)))
    for along in np.arange(0.5, length - 1.5, 2.0):
        plane.rectangle(along, along + 1.6, 1.35, 0.76 * height, look.glass)
    for along in np.arange(4.5, length - 2.0, 7.0):
        plane.rectangle(along, along + 1.3, 0.4, 0.8 * height, look.glass)
        plane.rectangle(along + 2.6, along + 2.9, 0.3, height, Ink((30, 30, 32)))


def _train_end(plane: Plane, look: Look) -> None:
    width, height = plane.length, look.height
    outline = ((0.0, 0.12), (width, 0.12), (width, 0.7 * height), (0.85 * width, height), (0.15 * width, height))
    plane.polygon((*outline, (0.0, 0.7 * height)), look.body)
    plane.band(0.12, 0.45, Ink((45, 45, 48)))
    glass = ((0.1 * width, 1.3), (0.9 * width, 1.3), (0.84 * width, 0.8 * height), (0.16 * width, 0.8 * height))
    plane.polygon(glass, look.glass)
    plane.band(0.85, 1.15, look.accent)
    plane.band(0.84 * height, 0.93 * height, Ink((240, 180, 60)), 0.3, 0.7)
    for centre in (0.16, 0.84):
        plane.disc(centre * width, 0.7, 0.14, Ink(LAMP))
