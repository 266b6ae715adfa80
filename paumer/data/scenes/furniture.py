"""Street furniture: lamp posts, traffic lights, signs, bins and boxes."""

import numpy as np

from paumer.data.scenes.canvas import FINE, SMOOTH, Canvas, Ink, Plane
from paumer.data.scenes.labels import POLE, STATIC, TRAFFIC_LIGHT, TRAFFIC_SIGN
from paumer.data.scenes.palette import EARTHS, GREENS, GREYS, PALES, VIVIDS, Colour, chance, pick, tinted

WHITE: Colour = (232, 232, 228)
SIGN_RED: Colour = (190, 30, 35)
SIGN_BLUE: Colour = (30, 70, 160)
SIGN_YELLOW: Colour = (230, 185, 35)
LAMPS: tuple[tuple[float, Colour], ...] = ((0.82, (255, 60, 45)), (0.5, (255, 190, 60)), (0.18, (70, 240, 150)))


def _post(canvas: Canvas, rng: np.random.Generator, x: float, z: float, height: float, width: float) -> Plane:
    """A post in the middle (at 5 m) of a plane that faces the camera."""
    plane = Plane(canvas, (x - 5.0, z), (x + 5.0, z))
    reach = canvas.light.sun * height
    canvas.shadow(((x - width / 2, z), (x + width / 2, z), (x + reach + width / 2, z + 0.4), (x + reach, z + 0.4)))
    ink = Ink(tinted(rng, GREYS + PALES[:2] + EARTHS[4:] + GREENS[4:]), POLE, SMOOTH)
    plane.rectangle(5.0 - width / 2, 5.0 + width / 2, 0.0, height, ink)
    return plane


def draw_lamp_post(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """A street lamp with an arm over the road."""
    height, width = rng.uniform(4.5, 9.0), rng.uniform(0.16, 0.28)
    plane = _post(canvas, rng, x, z, height, width)
    arm = 5.0 - np.sign(x) * rng.uniform(0.6, 2.4)
    ink = Ink(tinted(rng, GREYS), POLE, SMOOTH)
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
        plane.bar((5.0, base + 0.6), (arm, base + 0.6), 0.14, Ink(tinted(rng, GREYS), POLE, SMOOTH))
        _draw_lamps(plane, rng, arm, base)
    else:
        plane = _post(canvas, rng, x, z, base + 0.5, 0.2)
    _draw_lamps(plane, rng, 5.0, base)


def _draw_lamps(plane: Plane, rng: np.random.Generator, along: float, base: float) -> None:
    height, half = 1.3, 0.29
    housing = Ink(tinted(rng, ((25, 27, 28), (40, 42, 40), (35, 45, 38), (150, 125, 40))), TRAFFIC_LIGHT, SMOOTH)
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
    edge = Ink(tinted(rng, (SIGN_BLUE if kind in ("blue disc", "board") else SIGN_RED,)), TRAFFIC_SIGN, SMOOTH)
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
        for scale, ink in ((1.1, Ink(WHITE, TRAFFIC_SIGN, SMOOTH)), (0.8, Ink(SIGN_YELLOW))):
            half = scale * size
            plane.polygon(((5.0 - half, up), (5.0, up - half), (5.0 + half, up), (5.0, up + half)), ink)


def draw_guide_board(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """A large board with lines of text, on two posts or beside the road."""
    base, width, height = rng.uniform(1.8, 3.2), rng.uniform(1.4, 2.6), rng.uniform(0.8, 1.5)
    plane = _post(canvas, rng, x, z, base + height, 0.16)
    colour = tinted(rng, (SIGN_BLUE, SIGN_YELLOW, WHITE, (25, 95, 60)))
    text = (30, 30, 34) if sum(colour) > 380 else WHITE
    left, right = 5.0 - width / 2, 5.0 + width / 2
    plane.rectangle(left, right, base, base + height, Ink(WHITE, TRAFFIC_SIGN, SMOOTH))
    plane.rectangle(left + 0.06, right - 0.06, base + 0.06, base + height - 0.06, Ink(colour))
    for line in (0.25, 0.55, 0.8):
        end = left + width * rng.uniform(0.45, 0.9)
        plane.rectangle(left + 0.15, end, base + line * height - 0.07, base + line * height + 0.07, Ink(text))


def draw_bin(canvas: Canvas, rng: np.random.Generator, x: float, z: float) -> None:
    """A bin, a switch box or a crate: a thing that no evaluated class covers."""
    plane = Plane(canvas, (x - 1.0, z), (x + 1.0, z))
    half, height = rng.uniform(0.25, 0.6), rng.uniform(0.7, 1.5)
    ink = Ink(tinted(rng, GREYS + GREENS + VIVIDS + EARTHS), STATIC, FINE)
    plane.rectangle(1.0 - half, 1.0 + half, 0.0, height, ink)
    plane.rectangle(1.0 - half, 1.0 + half, height - 0.15, height, Ink(tinted(rng, GREYS)))
