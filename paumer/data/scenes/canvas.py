"""A pinhole camera over a flat street, and drawing colours, label ids and materials together.

World coordinates in metres: x to the right, y up from the ground, z ahead of the camera. Pixels: u right, v down.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import cos, exp, hypot, pi, sin
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from paumer.data.scenes import paint
from paumer.data.scenes.paint import Colour, mixed, shaded, tinted

NEAREST = 1.0  # Points closer than this are moved here: they lie outside the view anyway.


@dataclass(frozen=True)
class Camera:
    """Where world points fall on a canvas of `height` x `width` pixels."""

    height: int
    width: int
    focal: float
    horizon: float
    centre: float
    elevation: float
    curve: float

    def project(self, x: float, y: float, z: float) -> tuple[float, float]:
        """The pixel (u, v) of a world point; a street that bends moves far points sideways."""
        z = max(z, NEAREST)
        scale = self.focal / z
        return self.centre + scale * (x + self.curve * z * z), self.horizon + scale * (self.elevation - y)

    def sees_right_flank(self, x: float, z: float) -> bool:
        """Whether a plane along the street at `x` and `z` is left of the camera, so that its right flank shows."""
        return x + self.curve * z * z < 0


def random_camera(rng: np.random.Generator, height: int, width: int) -> Camera:
    """A camera on a car's roof rack or dashboard, aimed along the street within a few degrees."""
    # Both sides count, so that narrow and tall canvases show a street as well.
    reach = 0.5 * width + height
    return Camera(
        height=height,
        width=width,
        focal=reach * rng.uniform(0.9, 1.15),
        horizon=height * rng.uniform(0.37, 0.47),
        centre=width * rng.uniform(0.36, 0.64),
        elevation=rng.uniform(1.25, 1.9),
        curve=rng.normal(0.0, 0.0008),
    )


Point = tuple[float, float]

CIRCLE = tuple((cos(2 * pi * k / 12), sin(2 * pi * k / 12)) for k in range(12))


class Ink(NamedTuple):
    """What a stroke leaves behind: a colour, and what it is made of where it is more than a detail of the thing below.

    Without a colour, as for what one looks through, only label and material change.
    """

    colour: Colour | None
    label: int | None = None
    material: int = paint.SMOOTH

    def detail(self, factor: float) -> "Ink":
        """A darker or lighter shade, for details that keep label and material."""
        return Ink(self.colour and shaded(self.colour, factor))


def tinted_ink(
    rng: np.random.Generator, colours: Sequence[Colour], label: int | None = None, material: int = paint.SMOOTH
) -> Ink:
    """Ink of a random variation of one of `colours`."""
    return Ink(tinted(rng, colours), label, material)


class Light(NamedTuple):
    """Brightness of planes by the way they face, and the air between: haze takes over past `visibility` metres."""

    right: float
    left: float
    front: float
    haze: Colour
    visibility: float
    sun: float  # Where shadows fall: metres sideways for each metre of height.
    shadow: int  # How dark they are, 0 to 255.


class Canvas:
    """An image and, drawn by the same strokes, the label id and the material of each of its pixels."""

    def __init__(self, camera: Camera, light: Light, sky: Image.Image, sky_label: int) -> None:
        """Start from a sky that fills the whole canvas."""
        self.camera, self.light = camera, light
        self.colours = sky
        # Label and material share a layer, as a stroke sets both or neither.
        self.surfaces = Image.new("L", (camera.width, camera.height), sky_label * len(paint.MATERIALS))
        self._on_colours, self._on_surfaces = ImageDraw.Draw(self.colours), ImageDraw.Draw(self.surfaces)
        self._shadow = ImageDraw.Draw(self.colours, "RGBA")

    def seen(self, colour: Colour, depth: float, brightness: float = 1.0) -> Colour:
        """`colour`, lit that brightly, as it arrives through `depth` metres of air."""
        return mixed(shaded(colour, brightness), self.light.haze, 1.0 - exp(-depth / self.light.visibility))

    def shows(self, left: float, right: float) -> bool:
        """Whether anything between two pixel columns, in any order, is on the canvas."""
        return max(left, right) >= 0.0 and min(left, right) <= self.camera.width

    def polygon(self, points: Sequence[Point], ink: Ink, depth: float, brightness: float = 1.0) -> None:
        """Fill a polygon given in pixels."""
        if not self.shows(min(points)[0], max(points)[0]):
            return
        if ink.colour is not None:
            self._on_colours.polygon(points, fill=self.seen(ink.colour, depth, brightness))
        if ink.label is not None:
            self._on_surfaces.polygon(points, fill=ink.label * len(paint.MATERIALS) + ink.material)

    def ellipse(self, centre: Point, radii: Point, ink: Ink, depth: float) -> None:
        """Fill an upright ellipse given in pixels."""
        (u, v), (across, upward) = centre, radii
        if not self.shows(u - across, u + across):
            return
        box = (u - across, v - upward, u + across, v + upward)
        if ink.colour is not None:
            self._on_colours.ellipse(box, fill=self.seen(ink.colour, depth))
        if ink.label is not None:
            self._on_surfaces.ellipse(box, fill=ink.label * len(paint.MATERIALS) + ink.material)

    def ground(self, points: Iterable[tuple[float, float]], ink: Ink, elevation: float = 0.0) -> None:
        """Fill a patch of ground given by its corners (x, z) in metres."""
        corners = list(points)
        depth = sum(max(z, 1.0) for _, z in corners) / len(corners)
        self.polygon([self.camera.project(x, elevation, z) for x, z in corners], ink, depth)

    def strip(self, first: float, second: float, near: float, far: float, ink: Ink) -> None:
        """Fill the ground between two x and two z in metres."""
        self.ground(((first, near), (second, near), (second, far), (first, far)), ink)

    def shadow(self, points: Iterable[tuple[float, float]]) -> None:
        """Darken a patch of ground given by its corners (x, z) in metres; labels stay."""
        pixels = [self.camera.project(x, 0.0, z) for x, z in points]
        self._shadow.polygon(pixels, fill=(8, 10, 16, self.light.shadow))

    def arrays(self, reduction: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Colours (H, W, 3), label ids (H, W) and materials (H, W), all uint8, `reduction` times smaller.

        Colours are averaged, the others taken at the centre of each pixel.
        """
        centre = slice(reduction // 2, None, reduction)
        labels, materials = np.divmod(np.asarray(self.surfaces)[centre, centre], np.uint8(len(paint.MATERIALS)))
        return np.asarray(self.colours.reduce(reduction)), labels, materials


class Plane:
    """An upright plane between two ground points (x, z); its own coordinates are metres along it and up from it."""

    def __init__(self, canvas: Canvas, start: Point, end: Point) -> None:
        """Create a plane from two points on the ground."""
        self.canvas, self.start = canvas, start
        self.length = max(hypot(end[0] - start[0], end[1] - start[1]), 1e-3)
        self.step = ((end[0] - start[0]) / self.length, (end[1] - start[1]) / self.length)
        self.depth = max(0.5 * (start[1] + end[1]), 1.0)
        light, right = canvas.light, canvas.camera.sees_right_flank(start[0], self.depth)
        self.brightness = light.front if abs(self.step[0]) > 0.5 else light.right if right else light.left

    @property
    def scale(self) -> float:
        """Pixels for a metre at the middle of the plane."""
        return self.canvas.camera.focal / self.depth

    def shows(self, left: float, right: float) -> bool:
        """Whether the part of the plane between two distances along it is on the canvas."""
        return self.canvas.shows(self.point(left, 0.0)[0], self.point(right, 0.0)[0])

    def point(self, along: float, up: float) -> Point:
        """The pixel of a point on the plane."""
        (x, z), (right, ahead) = self.start, self.step
        return self.canvas.camera.project(x + along * right, up, z + along * ahead)

    def polygon(self, points: Iterable[Point], ink: Ink) -> None:
        """Fill a polygon given in the plane's metres."""
        self.canvas.polygon([self.point(along, up) for along, up in points], ink, self.depth, self.brightness)

    def rectangle(self, left: float, right: float, bottom: float, top: float, ink: Ink) -> None:
        """Fill a rectangle given in the plane's metres."""
        self.polygon(((left, bottom), (right, bottom), (right, top), (left, top)), ink)

    def band(self, bottom: float, top: float, ink: Ink, start: float = 0.0, end: float = 1.0) -> None:
        """Fill a rectangle from `start` to `end`, as shares of the plane's length."""
        self.rectangle(start * self.length, end * self.length, bottom, top, ink)

    def disc(self, along: float, up: float, radius: float, ink: Ink) -> None:
        """Fill a circle given in the plane's metres."""
        self.polygon(((along + radius * a, up + radius * b) for a, b in CIRCLE), ink)

    def bar(self, first: Point, second: Point, thickness: float, ink: Ink) -> None:
        """A straight bar between two points of the plane, `thickness` metres wide."""
        (a, b), (c, d) = first, second
        length = max(hypot(c - a, d - b), 1e-6)
        p, q = -(d - b) / length * thickness / 2, (c - a) / length * thickness / 2
        self.polygon(((a + p, b + q), (c + p, d + q), (c - p, d - q), (a - p, b - q)), ink)


def facing(canvas: Canvas, x: float, z: float, half: float = 1.0) -> Plane:
    """A plane through (x, z) that faces the camera; its middle is at `half` metres."""
    return Plane(canvas, (x - half, z), (x + half, z))


class Box(NamedTuple):
    """An upright box on the street: x from left to right, z from near to far, in metres."""

    left: float
    right: float
    near: float
    far: float

    def front(self, canvas: Canvas) -> Plane:
        """The plane that faces the camera, from left to right."""
        return Plane(canvas, (self.left, self.near), (self.right, self.near))

    def flank(self, canvas: Canvas) -> Plane | None:
        """The plane along the street that the camera sees, from near to far; None where it looks straight on."""
        for x, shows in ((self.right, True), (self.left, False)):
            if canvas.camera.sees_right_flank(x, self.near) == shows:
                return Plane(canvas, (x, self.near), (x, self.far))
        return None
