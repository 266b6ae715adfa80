"""People, bicycles, motorcycles and riders."""

import numpy as np

from paumer.data.scenes import paint
from paumer.data.scenes.canvas import Canvas, Ink, Plane, Point, facing, tinted_ink
from paumer.data.scenes.paint import Colour, chance, tinted

HAIR: tuple[Colour, ...] = ((25, 20, 18), (60, 42, 28), (130, 100, 60), (120, 120, 120))
BLACK: Colour = (22, 22, 24)
# The frame and fork of a bicycle seen from the side, and the corners of a wheel of radius 1.
TUBES: tuple[tuple[Point, Point], ...] = (
    ((0.46, 0.36), (0.82, 0.78)),
    ((0.82, 0.78), (0.95, 0.32)),
    ((0.46, 0.36), (0.95, 0.32)),
    ((0.95, 0.32), (1.4, 0.82)),
    ((0.82, 0.76), (1.4, 0.82)),
    ((1.54, 0.36), (1.36, 1.05)),
)
RING: tuple[Point, ...] = tuple((float(np.cos(a)), float(np.sin(a))) for a in np.linspace(0, 2 * np.pi, 10)[:-1])


def _shadow(canvas: Canvas, x: float, z: float, height: float, half: float) -> None:
    reach = canvas.light.sun * height
    canvas.shadow(((x - half, z), (x + half, z), (x + half + reach, z + 0.5), (x - half + reach, z + 0.5)))


def draw_person(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """A standing or walking person."""
    size = rng.normal(1.0, 0.06) * (rng.uniform(0.6, 0.8) if chance(rng, 0.1) else 1.0)
    plane, stride = facing(canvas, x, z), rng.uniform(0.03, 0.28)
    _shadow(canvas, x, z, 1.7 * size, 0.22)
    coat = tinted_ink(rng, paint.CLOTHES, paint.PERSON, paint.FINE)
    trousers = tinted_ink(rng, paint.CLOTHES[:9], paint.PERSON, paint.FINE)
    for foot in (-stride, stride):
        plane.bar((1.0, 0.88 * size), (1.0 + foot, 0.03), 0.17 * size, trousers)
        plane.rectangle(1.0 + foot - 0.09, 1.0 + foot + 0.11, 0.0, 0.09, Ink(BLACK, paint.PERSON))
    long = rng.uniform(0.6, 0.88) * size
    torso = ((0.83, long), (1.17, long), (1.0 + 0.25 * size, 1.42 * size), (1.0 - 0.25 * size, 1.42 * size))
    plane.polygon(torso, coat)
    _draw_arms(plane, rng, coat, size)
    _draw_head(plane, rng, 1.0, 1.58 * size, paint.PERSON, helmet=False)
    if chance(rng, 0.25):
        plane.rectangle(0.78, 1.0, 0.95 * size, 1.35 * size, tinted_ink(rng, paint.CLOTHES))


def _draw_arms(plane: Plane, rng: np.random.Generator, coat: Ink, size: float) -> None:
    sleeve = coat._replace(colour=coat.detail(0.85).colour)
    for side in (-1, 1):
        hand = 1.0 + side * rng.uniform(0.2, 0.36)
        plane.bar((1.0 + side * 0.22 * size, 1.36 * size), (hand, 0.85 * size), 0.12 * size, sleeve)


def _draw_head(plane: Plane, rng: np.random.Generator, along: float, up: float, label: int, helmet: bool) -> None:
    hair = tinted(rng, paint.CLOTHES if helmet else HAIR)
    plane.disc(along, up + 0.04, 0.15 if helmet else 0.13, Ink(hair, label))
    plane.disc(along + 0.02, up - 0.02, 0.1, tinted_ink(rng, paint.SKINS, label))


def draw_bicycle(canvas: Canvas, rng: np.random.Generator, x: float, z: float, along: bool = False) -> Ink:
    """A bicycle, seen from the side or (`along` the street) from behind; returns the ink of its frame."""
    plane, frame = facing(canvas, x, z), tinted_ink(rng, paint.CLOTHES, paint.BICYCLE)
    _shadow(canvas, x, z, 0.9, 0.1 if along else 0.8)
    if along:
        plane.rectangle(0.95, 1.05, 0.0, 0.7, Ink(BLACK, paint.BICYCLE))
        plane.rectangle(0.93, 1.07, 0.45, 0.95, frame)
        plane.rectangle(0.72, 1.28, 0.98, 1.06, Ink(BLACK, paint.BICYCLE))
        return frame
    for hub in (0.46, 1.54):
        _draw_spoked_wheel(plane, hub, 0.36)
    for first, second in TUBES:
        plane.bar(first, second, 0.07, frame)
    plane.bar((0.7, 0.95), (0.94, 0.95), 0.08, Ink(BLACK, paint.BICYCLE))
    plane.bar((1.26, 1.06), (1.44, 1.04), 0.07, Ink(BLACK, paint.BICYCLE))
    return frame


def _draw_spoked_wheel(plane: Plane, hub: float, radius: float) -> None:
    """A transparent wheel: the label covers the disc, the colour only the ring."""
    plane.disc(hub, radius, radius, Ink(None, paint.BICYCLE))
    rim = [(hub + radius * a, radius + radius * b) for a, b in RING]
    for first, second in zip(rim, rim[1:] + rim[:1], strict=True):
        plane.bar(first, second, 0.06, Ink(BLACK))


def draw_motorcycle(canvas: Canvas, rng: np.random.Generator, x: float, z: float, along: bool = False) -> Ink:
    """A motorcycle or scooter: fat wheels and a solid body; returns the ink of its body."""
    plane, body = facing(canvas, x, z), tinted_ink(rng, paint.VEHICLES, paint.MOTORCYCLE)
    black, steel = Ink(BLACK, paint.MOTORCYCLE), tinted_ink(rng, paint.GREYS[2:], paint.MOTORCYCLE)
    _shadow(canvas, x, z, 1.1, 0.25 if along else 0.95)
    if along:
        plane.rectangle(0.88, 1.12, 0.0, 0.62, black)
        plane.polygon(((0.75, 0.4), (1.25, 0.4), (1.2, 1.0), (0.8, 1.0)), body)
        plane.rectangle(0.6, 1.4, 1.0, 1.1, black)
        plane.disc(1.0, 0.8, 0.12, Ink((230, 40, 35) if chance(rng, 0.6) else (245, 240, 215)))
        return body
    for hub in (0.35, 1.65):
        plane.disc(hub, 0.34, 0.34, black)
        plane.disc(hub, 0.34, 0.16, steel)
    plane.polygon(((0.55, 0.25), (1.35, 0.25), (1.5, 0.85), (0.5, 0.75)), steel)
    plane.polygon(((0.2, 0.72), (0.9, 0.72), (1.3, 0.68), (1.5, 0.98), (1.05, 1.02), (0.85, 0.85), (0.2, 0.92)), body)
    plane.bar((1.65, 0.36), (1.35, 1.15), 0.1, steel)
    plane.bar((1.2, 1.12), (1.42, 1.15), 0.09, black)
    plane.disc(1.55, 0.9, 0.12, Ink((240, 235, 210)))
    return body


def draw_rider(canvas: Canvas, rng: np.random.Generator, x: float, z: float, along: bool, motor: bool) -> None:
    """A rider on a bicycle or motorcycle; rider and vehicle have separate labels."""
    (draw_motorcycle if motor else draw_bicycle)(canvas, rng, x, z, along)
    plane = facing(canvas, x, z)
    coat = tinted_ink(rng, paint.CLOTHES, paint.RIDER, paint.FINE)
    trousers = tinted_ink(rng, paint.CLOTHES[:9], paint.RIDER, paint.FINE)
    helmet = motor or chance(rng, 0.5)
    if along:
        for side in (-1, 1):
            plane.bar((1.0 + 0.1 * side, 0.95), (1.0 + 0.16 * side, 0.25), 0.15, trousers)
            plane.bar((1.0 + 0.2 * side, 1.42), (1.0 + 0.3 * side, 1.05), 0.12, coat)
        plane.polygon(((0.83, 0.85), (1.17, 0.85), (1.24, 1.48), (0.76, 1.48)), coat)
        _draw_head(plane, rng, 1.0, 1.65, paint.RIDER, helmet)
        return
    knee = (1.15, 0.72)
    plane.bar((0.85, 0.95), knee, 0.19, trousers)
    plane.bar(knee, (1.02, 0.25), 0.15, trousers)
    plane.polygon(((0.72, 0.92), (0.97, 0.92), (1.24, 1.42), (0.98, 1.52)), coat)
    plane.bar((1.12, 1.38), (1.36, 1.06), 0.11, coat)
    _draw_head(plane, rng, 1.2, 1.63, paint.RIDER, helmet)
