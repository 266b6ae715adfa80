"""The surroundings of a street: its character, ground, plants, sky and light."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from paumer.data.scenes import paint
from paumer.data.scenes.canvas import Canvas, Ink, Light, tinted_ink
from paumer.data.scenes.paint import Colour, chance, mixed, pick, shaded, tinted

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
        """The world x at `distance` metres to this side."""
        return self.sign * distance


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
STREETS = (CITY, CITY, SUBURB, AVENUE)  # half of all streets are of cities


def random_side(rng: np.random.Generator, sign: int, green: float) -> Side:
    """A pavement with or without a verge; `green` is how likely grass is, 0 to 1."""
    kerb = rng.uniform(2.3, 5.6) if sign > 0 else rng.uniform(3.0, 8.4)
    pavement = rng.uniform(2.0, 5.5)
    verge = kerb + (rng.uniform(0.8, 3.0) if chance(rng, 0.75 * green) else 0.0)
    return Side(
        sign,
        kerb,
        verge,
        verge + pavement,
        paint.TERRAIN if chance(rng, green) else pick(rng, (paint.SIDEWALK, paint.ROAD)),
    )


def draw_ground(canvas: Canvas, rng: np.random.Generator, sides: tuple[Side, Side]) -> None:
    """Everything flat: outer ground, pavements with kerbs, verges, the road and its markings."""
    asphalt = tinted(rng, paint.ASPHALTS)
    road = Ink(asphalt, paint.ROAD, paint.FINE)
    left, right = sides
    for side in sides:
        colour = tinted(rng, (*paint.PAVEMENTS, asphalt))
        pavement = Ink(colour, paint.SIDEWALK, pick(rng, (paint.FINE, paint.ROUGH)))
        grass = tinted_ink(rng, paint.GRASSES, paint.TERRAIN, paint.GRASS)
        outer = {paint.TERRAIN: grass, paint.SIDEWALK: pavement, paint.ROAD: road}[side.outer_label]
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
        canvas.strip(first, second, near, far, ink)


def _draw_kerb(canvas: Canvas, rng: np.random.Generator, side: Side) -> None:
    colour = tinted(rng, paint.PAVEMENTS)
    project, x = canvas.camera.project, side.x(side.kerb)
    top = side.x(side.kerb + 0.18)
    for far, near in zip(DEPTHS[-2:0:-1], DEPTHS[-3::-1], strict=True):
        face = [project(x, 0, near), project(x, 0, far), project(x, KERB_HEIGHT, far), project(x, KERB_HEIGHT, near)]
        canvas.polygon(face, Ink(shaded(colour, 0.72), paint.SIDEWALK, paint.FINE), near)
        canvas.ground(
            ((x, near), (x, far), (top, far), (top, near)), Ink(colour, paint.SIDEWALK, paint.FINE), KERB_HEIGHT
        )


def _draw_joints(canvas: Canvas, rng: np.random.Generator, side: Side, pavement: Ink) -> None:
    """Dark joints between the slabs, which tell a pavement from a road of its colour."""
    joint = pavement.detail(rng.uniform(0.68, 0.85))
    first, second, slab = side.x(side.verge), side.x(side.line), rng.uniform(0.8, 1.4)
    for z in np.arange(3.0, 20.0, slab):
        canvas.strip(first, second, z, z + 0.06, joint)
    for distance in np.arange(side.verge + slab, side.line, slab):
        left, right = side.x(distance), side.x(distance + 0.06)
        canvas.strip(left, right, 2.0, 30.0, joint)


def _draw_wear(canvas: Canvas, rng: np.random.Generator, sides: tuple[Side, Side], asphalt: Colour) -> None:
    """Mended patches, covers and dark tyre tracks."""
    left, right = sides[0].x(sides[0].kerb), sides[1].x(sides[1].kerb)
    for _ in range(int(rng.integers(0, 6))):
        x, z = rng.uniform(left, right - 1), rng.uniform(4, 25)
        width, length = min(rng.uniform(0.4, 3.0), right - x), rng.uniform(0.4, 8.0)
        canvas.strip(x, x + width, z, z + length, Ink(shaded(asphalt, rng.uniform(0.75, 1.2))))
    if chance(rng, 0.5):
        for x in (-0.9, 0.7):
            canvas.strip(x, x + 0.35, 3, 60, Ink(shaded(asphalt, 0.9)))


def _draw_markings(canvas: Canvas, rng: np.random.Generator, sides: tuple[Side, Side], asphalt: Colour) -> None:
    """Lane lines, sometimes a crossing or a bicycle lane; worn paint is close to the asphalt."""
    marking = tinted_ink(rng, ((225, 225, 220), (200, 200, 195), shaded(asphalt, 1.35), (205, 175, 70)))
    left, right = sides[0].x(sides[0].kerb), sides[1].x(sides[1].kerb)
    if chance(rng, 0.15):
        canvas.strip(right - 1.5, right, 2, 90, tinted_ink(rng, paint.EARTHS[:2]))
    if chance(rng, 0.8):
        for x in (-1.9, 1.9, -5.2):
            if left + 1.0 < x < right - 1.0:
                _draw_line(canvas, rng, x, marking)
    if chance(rng, 0.25):
        z = rng.uniform(6.0, 22.0)
        for x in np.arange(left + 0.4, right - 0.6, 1.1):
            canvas.strip(x, x + 0.55, z, z + 3.0, marking)


def _draw_line(canvas: Canvas, rng: np.random.Generator, x: float, marking: Ink) -> None:
    dash, start = pick(rng, (3.0, 4.0, 6.0, 100.0)), rng.uniform(0.0, 4.0)
    for z in np.arange(start, 60.0, 2.2 * dash):
        canvas.strip(x, x + 0.14, z, z + dash, marking)


def draw_rails(canvas: Canvas, rng: np.random.Generator, x: float) -> None:
    """Tram rails sunk into the road around `x`."""
    steel = tinted_ink(rng, ((60, 60, 62), (150, 150, 152)))
    for rail in (x - 0.72, x + 0.72):
        canvas.strip(rail - 0.06, rail + 0.06, 2, 90, steel)


def draw_foliage(
    canvas: Canvas, rng: np.random.Generator, x: float, y: float, z: float, width: float, height: float, colour: Colour
) -> None:
    """A clump of leaves around (x, y, z), `width` x `height` metres: dark blobs first, light ones on top."""
    scale = canvas.camera.focal / max(z, 1.0)
    u, v = canvas.camera.project(x, y, z)
    if not canvas.shows(u - 0.7 * width * scale, u + 0.7 * width * scale):
        return
    count = int(min(max(width * scale / 4, 5), 16))
    offsets, sizes = rng.triangular(-0.45, 0.0, 0.45, (count, 2)).tolist(), rng.uniform(0.15, 0.32, count).tolist()
    for index, ((right, up), size) in enumerate(zip(offsets, sizes, strict=True)):
        tone = 0.6 + 0.65 * index / count
        centre = (u + right * width * scale, v - (up + 0.12 * (tone - 0.9)) * height * scale)
        radii = (size * width * scale, size * height * scale)
        canvas.ellipse(centre, radii, Ink(shaded(colour, tone), paint.VEGETATION, paint.LEAVES), z)


def draw_tree(canvas: Canvas, rng: np.random.Generator, x: float, z: float, height: float) -> None:
    """A tree on a trunk; the trunk counts as vegetation too."""
    trunk, thickness = tinted(rng, paint.EARTHS[1:] + paint.GREYS[:3]), rng.uniform(0.12, 0.3) * height / 6
    crown, lift = rng.uniform(0.5, 0.95) * height, rng.uniform(0.3, 0.45) * height
    project = canvas.camera.project
    corners = [(x - thickness, 0.0), (x + thickness, 0.0), (x + thickness / 2, 0.8 * height), (x, 0.8 * height)]
    canvas.polygon([project(a, b, z) for a, b in corners], Ink(trunk, paint.VEGETATION, paint.FINE), z)
    colour = tinted(rng, paint.PLANTS)
    draw_foliage(canvas, rng, x, lift + 0.4 * height, z, crown, 0.8 * height, colour)


def draw_hedge(canvas: Canvas, rng: np.random.Generator, x: float, near: float, far: float, height: float) -> None:
    """A row of bushes or trees along the street, from far to near."""
    colour = tinted(rng, paint.PLANTS)
    z = far
    while z > near:
        spread = height * rng.uniform(0.9, 1.6)
        size = height * rng.uniform(0.75, 1.15)
        draw_foliage(canvas, rng, x + rng.normal(0, 0.1 * height), size * 0.42, z, spread, size, colour)
        z -= max(0.45 * spread, 0.06 * z)


# Zenith and horizon of clear, overcast, dull and low-sun skies.
SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((80, 125, 190), (190, 208, 222)),
    ((120, 160, 205), (215, 222, 226)),
    ((205, 208, 210), (228, 228, 226)),
    ((150, 154, 160), (188, 190, 192)),
    ((110, 120, 150), (232, 196, 160)),
    ((128, 132, 142), (170, 170, 170)),
)


def draw_sky(rng: np.random.Generator, height: int, width: int, horizon: float) -> tuple[Image.Image, Colour]:
    """A sky with clouds for the whole canvas, and the colour that haze takes from it."""
    zenith, low = pick(rng, SKIES)
    # A sky has no edges: a quarter of the resolution is plenty.
    rows, columns = -(-height // 4), -(-width // 4)
    share = np.clip(4 * np.arange(rows) / max(horizon, 1.0), 0.0, 1.0)[:, None, None] ** rng.uniform(0.6, 1.6)
    pixels = np.array(zenith) * (1.0 - share) + np.array(low) * share
    clouds = _clouds(rng, rows, columns)[..., None] * rng.uniform(0.0, 0.9)
    cover = np.array(tinted(rng, ((240, 240, 240), (215, 215, 218), (170, 172, 178))))
    sky = Image.fromarray((pixels * (1.0 - clouds) + cover * clouds).clip(0, 255).astype(np.uint8))
    haze = mixed(low, tinted(rng, ((200, 200, 200), (170, 175, 185))), 0.4)
    return sky.resize((width, height), Image.Resampling.BILINEAR), haze


def _clouds(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Cloud cover (H, W) from 0 to 1, wide and flat."""
    cover = np.zeros((height, width), dtype=np.float32)
    for rows, columns in ((4, 3), (9, 7), (20, 14)):
        coarse = Image.fromarray(rng.standard_normal((rows, columns), dtype=np.float32) / np.float32(rows**0.4))
        cover += np.asarray(coarse.resize((width, height), Image.Resampling.BILINEAR))
    return np.clip(cover * 1.2 + rng.uniform(-0.4, 0.4), 0.0, 1.0)


def random_light(rng: np.random.Generator, haze: Colour) -> Light:
    """A sun on either side, high or low, or an overcast day without clear shadows."""
    sunny, side = rng.random(), pick(rng, (-1.0, 1.0))
    contrast = 0.35 * sunny
    return Light(
        right=1.0 + contrast * side,
        left=1.0 - contrast * side,
        front=rng.uniform(0.75, 1.05),
        haze=haze,
        visibility=float(np.exp(rng.uniform(np.log(140.0), np.log(900.0)))),
        # A sun on the right brightens what faces right and throws shadows to the left.
        sun=-side * rng.uniform(0.1, 1.6),
        shadow=int(60 + 100 * sunny),
    )
