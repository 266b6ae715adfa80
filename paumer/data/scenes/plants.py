"""Trees, hedges and bushes."""

import numpy as np

from paumer.data.scenes.canvas import FINE, LEAVES, Canvas, Ink
from paumer.data.scenes.labels import VEGETATION
from paumer.data.scenes.palette import EARTHS, GREYS, PLANTS, Colour, shaded, tinted


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
        canvas.ellipse(centre, radii, Ink(shaded(colour, tone), VEGETATION, LEAVES), z)


def draw_tree(canvas: Canvas, rng: np.random.Generator, x: float, z: float, height: float) -> None:
    """A tree on a trunk; the trunk counts as vegetation too."""
    trunk, thickness = tinted(rng, EARTHS[1:] + GREYS[:3]), rng.uniform(0.12, 0.3) * height / 6
    crown, lift = rng.uniform(0.5, 0.95) * height, rng.uniform(0.3, 0.45) * height
    project = canvas.camera.project
    corners = [(x - thickness, 0.0), (x + thickness, 0.0), (x + thickness / 2, 0.8 * height), (x, 0.8 * height)]
    canvas.polygon([project(a, b, z) for a, b in corners], Ink(trunk, VEGETATION, FINE), z)
    colour = tinted(rng, PLANTS)
    draw_foliage(canvas, rng, x, lift + 0.4 * height, z, crown, 0.8 * height, colour)


def draw_hedge(canvas: Canvas, rng: np.random.Generator, x: float, near: float, far: float, height: float) -> None:
    """A row of bushes or trees along the street, from far to near."""
    colour = tinted(rng, PLANTS)
    z = far
    while z > near:
        spread = height * rng.uniform(0.9, 1.6)
        size = height * rng.uniform(0.75, 1.15)
        draw_foliage(canvas, rng, x + rng.normal(0, 0.1 * height), size * 0.42, z, spread, size, colour)
        z -= max(0.45 * spread, 0.06 * z)
