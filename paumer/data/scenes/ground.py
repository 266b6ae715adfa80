"""The ground: road, pavements, verges, and what is painted or laid on the road."""

from typing import NamedTuple

import numpy as np

from paumer.data.scenes.canvas import FINE, GRASS, ROUGH, Canvas, Ink
from paumer.data.scenes.labels import ROAD, SIDEWALK, TERRAIN
from paumer.data.scenes.palette import ASPHALTS, EARTHS, GRASSES, PAVEMENTS, Colour, chance, pick, shaded, tinted

DEPTHS = (1.0, 3.0, 5.0, 8.0, 12.0, 18.0, 28.0, 45.0, 75.0, 130.0, 260.0)
KERB_HEIGHT = 0.13


class Side(NamedTuple):
    """One side of the street, in metres from the camera's line: `sign` is -1 left and 1 right."""

    sign: int
    kerb: float
    verge: float
    line: float
    outer_label: int

    def x(self, distance: float) -> float:
        """The world x that lies `distance` metres to this side."""
        return self.sign * distance


def random_side(rng: np.random.Generator, sign: int, green: float) -> Side:
    """A pavement with or without a verge; `green` is how likely grass is, 0 to 1."""
    kerb = rng.uniform(2.3, 5.6) if sign > 0 else rng.uniform(3.0, 8.4)
    pavement = rng.uniform(2.0, 5.5)
    verge = kerb + (rng.uniform(0.8, 3.0) if chance(rng, 0.75 * green) else 0.0)
    return Side(sign, kerb, verge, verge + pavement, TERRAIN if chance(rng, green) else pick(rng, (SIDEWALK, ROAD)))


def draw_ground(canvas: Canvas, rng: np.random.Generator, sides: tuple[Side, Side]) -> None:
    """Everything flat: outer ground, pavements with kerbs, verges, the road and its markings."""
    asphalt = tinted(rng, ASPHALTS)
    road = Ink(asphalt, ROAD, FINE)
    left, right = sides
    for side in sides:
        pavement = Ink(tinted(rng, (*PAVEMENTS, asphalt)), SIDEWALK, pick(rng, (FINE, ROUGH)))
        grass = Ink(tinted(rng, GRASSES), TERRAIN, GRASS)
        outer = {TERRAIN: grass, SIDEWALK: pavement, ROAD: road}[side.outer_label]
        _draw_strip(canvas, side.x(side.line), side.x(200.0), outer)
        _draw_strip(canvas, side.x(side.verge), side.x(side.line), pavement)
        _draw_joints(canvas, rng, side, pavement)
        if side.verge > side.kerb:
            _draw_strip(canvas, side.x(side.kerb), side.x(side.verge), grass)
    _draw_strip(canvas, left.x(left.kerb), right.x(right.kerb), road)
    _draw_wear(canvas, rng, sides, asphalt)
    _draw_markings(canvas, rng, sides, asphalt)
    for side in sides:
        _draw_kerb(canvas, rng, side)


def _draw_strip(canvas: Canvas, first: float, second: float, ink: Ink) -> None:
    for far, near in zip(DEPTHS[:0:-1], DEPTHS[-2::-1], strict=True):
        canvas.ground(((first, near), (second, near), (second, far), (first, far)), ink)


def _draw_kerb(canvas: Canvas, rng: np.random.Generator, side: Side) -> None:
    colour = tinted(rng, PAVEMENTS)
    project, x = canvas.camera.project, side.x(side.kerb)
    top = side.x(side.kerb + 0.18)
    for far, near in zip(DEPTHS[-2:0:-1], DEPTHS[-3::-1], strict=True):
        face = [project(x, 0, near), project(x, 0, far), project(x, KERB_HEIGHT, far), project(x, KERB_HEIGHT, near)]
        canvas.polygon(face, Ink(shaded(colour, 0.72), SIDEWALK, FINE), near)
        canvas.ground(((x, near), (x, far), (top, far), (top, near)), Ink(colour, SIDEWALK, FINE), KERB_HEIGHT)


def _draw_joints(canvas: Canvas, rng: np.random.Generator, side: Side, pavement: Ink) -> None:
    """Dark joints between the slabs, which tell a pavement from a road of its colour."""
    assert pavement.colour is not None
    joint = Ink(shaded(pavement.colour, rng.uniform(0.68, 0.85)))
    first, second, slab = side.x(side.verge), side.x(side.line), rng.uniform(0.8, 1.4)
    for z in np.arange(3.0, 20.0, slab):
        canvas.ground(((first, z), (second, z), (second, z + 0.06), (first, z + 0.06)), joint)
    for distance in np.arange(side.verge + slab, side.line, slab):
        left, right = side.x(distance), side.x(distance + 0.06)
        canvas.ground(((left, 2.0), (right, 2.0), (right, 30.0), (left, 30.0)), joint)


def _draw_wear(canvas: Canvas, rng: np.random.Generator, sides: tuple[Side, Side], asphalt: Colour) -> None:
    """Mended patches, covers and dark tyre tracks."""
    left, right = sides[0].x(sides[0].kerb), sides[1].x(sides[1].kerb)
    for _ in range(int(rng.integers(0, 6))):
        x, z = rng.uniform(left, right - 1), rng.uniform(4, 25)
        width, length = min(rng.uniform(0.4, 3.0), right - x), rng.uniform(0.4, 8.0)
        corners = ((x, z), (x + width, z), (x + width, z + length), (x, z + length))
        canvas.ground(corners, Ink(shaded(asphalt, rng.uniform(0.75, 1.2))))
    if chance(rng, 0.5):
        for x in (-0.9, 0.7):
            canvas.ground(((x, 3), (x + 0.35, 3), (x + 0.35, 60), (x, 60)), Ink(shaded(asphalt, 0.9)))


def _draw_markings(canvas: Canvas, rng: np.random.Generator, sides: tuple[Side, Side], asphalt: Colour) -> None:
    """Lane lines, sometimes a crossing or a bicycle lane; worn paint is close to the asphalt."""
    paint = Ink(tinted(rng, ((225, 225, 220), (200, 200, 195), shaded(asphalt, 1.35), (205, 175, 70))))
    left, right = sides[0].x(sides[0].kerb), sides[1].x(sides[1].kerb)
    if chance(rng, 0.15):
        canvas.ground(((right - 1.5, 2), (right, 2), (right, 90), (right - 1.5, 90)), Ink(tinted(rng, EARTHS[:2])))
    if chance(rng, 0.8):
        for x in (-1.9, 1.9, -5.2):
            if left + 1.0 < x < right - 1.0:
                _draw_line(canvas, rng, x, paint)
    if chance(rng, 0.25):
        z = rng.uniform(6.0, 22.0)
        for x in np.arange(left + 0.4, right - 0.6, 1.1):
            canvas.ground(((x, z), (x + 0.55, z), (x + 0.55, z + 3.0), (x, z + 3.0)), paint)


def _draw_line(canvas: Canvas, rng: np.random.Generator, x: float, paint: Ink) -> None:
    dash, start = pick(rng, (3.0, 4.0, 6.0, 100.0)), rng.uniform(0.0, 4.0)
    for z in np.arange(start, 60.0, 2.2 * dash):
        canvas.ground(((x, z), (x + 0.14, z), (x + 0.14, z + dash), (x, z + dash)), paint)


def draw_rails(canvas: Canvas, rng: np.random.Generator, x: float) -> None:
    """Tram rails sunk into the road around `x`."""
    steel = Ink(tinted(rng, ((60, 60, 62), (150, 150, 152))))
    for rail in (x - 0.72, x + 0.72):
        canvas.ground(((rail - 0.06, 2), (rail + 0.06, 2), (rail + 0.06, 90), (rail - 0.06, 90)), steel)
