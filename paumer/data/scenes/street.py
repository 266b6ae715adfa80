"""Rows of buildings, walls, fences and trees along a street, and its far end."""

import numpy as np

from paumer.data.scenes import paint
from paumer.data.scenes.canvas import Box, Canvas, Ink, Plane
from paumer.data.scenes.paint import Colour, chance, mixed, pick, shaded, tinted
from paumer.data.scenes.surroundings import KINDS, Character, Side, draw_hedge, draw_tree


def draw_building(canvas: Canvas, rng: np.random.Generator, box: Box, height: float) -> None:
    """A house: the flank along the street and the end that faces the camera, in one style."""
    colour = tinted(rng, paint.FACADES)
    style = _Style(rng, colour)
    for plane in (box.flank(canvas), box.front(canvas)):
        if plane is None or not plane.shows(0.0, plane.length):
            continue
        plane.band(0.0, height, Ink(colour, paint.BUILDING, style.material))
        style.draw_ground_floor(plane)
        style.draw_windows(plane, height)
        plane.band(height - 0.35, height, Ink(shaded(colour, style.trim)))


class _Style:
    """One building's windows, shop fronts and trim."""

    def __init__(self, rng: np.random.Generator, colour: Colour) -> None:
        self.rng, self.colour = rng, colour
        self.material = pick(rng, (paint.FINE, paint.FINE, paint.ROUGH))
        self.trim = rng.uniform(0.7, 1.3)
        self.storey, self.spacing = rng.uniform(2.8, 3.8), rng.uniform(1.8, 4.5)
        self.window_width, self.window_height = rng.uniform(0.35, 0.75), rng.uniform(0.4, 0.65)
        self.glass = tinted(rng, paint.GLASS)
        self.frame = shaded(colour, rng.uniform(0.6, 1.35))
        self.bands, self.blank = chance(rng, 0.2), chance(rng, 0.1)
        self.shop = tinted(rng, paint.VIVIDS + paint.GREYS + paint.PALES + paint.EARTHS) if chance(rng, 0.45) else None

    def draw_ground_floor(self, plane: Plane) -> None:
        """A shop front with panes and an awning, or a plain plinth."""
        top = self.storey
        if self.shop is None:
            plane.band(0.0, 0.7, Ink(shaded(self.colour, 0.75)))
            return
        plane.band(0.0, top, Ink(mixed(self.colour, (60, 60, 60), 0.5)))
        plane.band(top - 0.8, top, Ink(self.shop))
        count = max(int(plane.length / 3.0), 1)
        for k in range(count):
            left = (k + 0.12) * plane.length / count
            glass = mixed(self.glass, (230, 200, 150), self.rng.uniform(0.0, 0.5))
            plane.rectangle(left, left + 0.76 * plane.length / count, 0.4, top - 0.9, Ink(glass))

    def draw_windows(self, plane: Plane, height: float) -> None:
        """Rows of windows, one a storey, or bands of glass."""
        if self.blank or plane.scale * self.spacing < 4.0:
            return
        spans = [(0.3, plane.length - 0.3)] if self.bands else self._columns(plane)
        rows = min(int(height / self.storey), _visible_rows(plane, self.storey))
        for left, right in spans:
            if not plane.shows(left, right):
                continue
            for row in range(1 if self.shop else 0, rows):
                bottom = (row + 0.3) * self.storey
                self._draw_window(plane, left, right, bottom, bottom + self.window_height * self.storey)

    def _columns(self, plane: Plane) -> list[tuple[float, float]]:
        """Where the windows of each row begin and end."""
        count = max(int(plane.length / self.spacing), 1)
        width, margin = plane.length / count, (1.0 - self.window_width) / 2
        return [((k + margin) * width, (k + 1 - margin) * width) for k in range(count)]

    def _draw_window(self, plane: Plane, left: float, right: float, bottom: float, top: float) -> None:
        if plane.scale * self.spacing > 14.0:
            plane.rectangle(left - 0.15, right + 0.15, bottom - 0.15, top + 0.15, Ink(self.frame))
        plane.rectangle(left, right, bottom, top, Ink(shaded(self.glass, self.rng.uniform(0.7, 1.4))))


def _visible_rows(plane: Plane, storey: float) -> int:
    """How many storeys reach into the picture at the plane's far end."""
    camera = plane.canvas.camera
    farthest = max(plane.start[1], plane.start[1] + plane.length * plane.step[1], 1.0)
    return int((camera.elevation + camera.horizon * farthest / camera.focal) / storey) + 1


def draw_wall(canvas: Canvas, rng: np.random.Generator, plane: Plane, height: float) -> None:
    """A free-standing wall: concrete, brick or painted, with a coping and joints."""
    colour = tinted(rng, paint.FACADES + paint.EARTHS + paint.EARTHS + paint.GREENS[:2])
    plane.band(0.0, height, Ink(colour, paint.WALL, pick(rng, (paint.FINE, paint.ROUGH))))
    joint = Ink(shaded(colour, rng.uniform(0.6, 0.75)))
    for along in np.arange(rng.uniform(0.5, 2.0), plane.length, rng.uniform(1.2, 2.4)):
        plane.rectangle(along, along + 0.1, 0.0, height, joint)
    for up in np.arange(0.6, height - 0.3, 0.6):
        plane.band(up, up + 0.06, joint)
    plane.band(height - 0.2, height, Ink(shaded(colour, pick(rng, (0.7, 1.35)))))


def draw_fence(canvas: Canvas, rng: np.random.Generator, plane: Plane, height: float) -> None:
    """A fence: planks, or bars between which the background shows."""
    colour = tinted(rng, paint.GREYS + paint.EARTHS + paint.GREENS[:2] + paint.PALES[:3])
    if chance(rng, 0.3):
        plane.band(0.0, height, Ink(colour, paint.FENCE, paint.FINE))
        bar, gap = Ink(shaded(colour, 0.62)), 0.3
    else:
        plane.band(0.0, height, Ink(None, paint.FENCE))
        bar, gap = Ink(shaded(colour, pick(rng, (0.5, 1.3)))), 0.4
    # Bars closer than three pixels would merge into a plain wall.
    gap = max(gap, 3.0 / plane.scale)
    for along in np.arange(0.0, plane.length, gap):
        plane.rectangle(along, along + 0.08, 0.0, height, bar)
    for up in (0.15 * height, 0.92 * height):
        plane.band(up, up + 0.08, bar)


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
