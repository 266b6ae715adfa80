"""One scene: a street, what is on it, and the photograph of both."""

import numpy as np

from paumer.data.scenes.camera import Camera, random_camera
from paumer.data.scenes.canvas import SMOOTH, Canvas, Ink
from paumer.data.scenes.ground import Side, draw_ground, draw_rails, random_side
from paumer.data.scenes.labels import EGO_VEHICLE, SKY
from paumer.data.scenes.palette import VEHICLES, chance, pick, shaded, tinted
from paumer.data.scenes.sky import draw_sky, random_light
from paumer.data.scenes.street import AVENUE, CITY, SUBURB, draw_far_end, draw_row
from paumer.data.scenes.traffic import populate
from paumer.data.scenes.weather import photograph

FINENESS = 2  # Scenes are drawn this much larger than asked, so that edges are smooth.


def draw_scene(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A street scene of `height` x `width` pixels.

    Returns:
        The image (H, W, 3) uint8 and its Cityscapes label ids (H, W) uint8.
    """
    camera = random_camera(rng, FINENESS * height, FINENESS * width)
    canvas = _draw_street(rng, camera)
    colours, labels, materials = canvas.arrays(FINENESS)
    return photograph(rng, colours, materials), labels


def _draw_street(rng: np.random.Generator, camera: Camera) -> Canvas:
    character = pick(rng, (CITY, CITY, SUBURB, AVENUE))
    sky, haze = draw_sky(rng, camera.height, camera.width, camera.horizon)
    canvas = Canvas(camera, random_light(rng, haze), sky, SKY)
    sides = (random_side(rng, -1, character.green), random_side(rng, 1, character.green))
    end = draw_far_end(canvas, rng, character)
    draw_ground(canvas, rng, sides)
    rails = _rails(rng, sides)
    if rails is not None:
        draw_rails(canvas, rng, rails)
    _draw_building_shadow(canvas, rng, sides)
    for side in sides:
        draw_row(canvas, rng, side, end, character)
    # Not every tram line has a tram in sight.
    for item in populate(rng, sides, end, character, rails if chance(rng, 0.75) else None):
        item.draw(canvas, rng)
    if chance(rng, 0.35):
        _draw_bonnet(canvas, rng)
    return canvas


def _rails(rng: np.random.Generator, sides: tuple[Side, Side]) -> float | None:
    """The x of the tram line in the scenes that have one."""
    return rng.uniform(-4.2, -2.9) if sides[0].kerb > 5.0 and chance(rng, 0.13) else None


def _draw_building_shadow(canvas: Canvas, rng: np.random.Generator, sides: tuple[Side, Side]) -> None:
    """The shade that one side of the street throws over the ground."""
    if not chance(rng, 0.45):
        return
    side = sides[0] if canvas.light.sun > 0 else sides[1]
    edge = rng.uniform(-2.0, side.line)
    near = 1.0
    while near < 90.0:
        far = near + rng.uniform(6.0, 25.0)
        edge += rng.normal(0.0, 0.8)
        canvas.shadow(((side.x(60.0), near), (side.x(edge), near), (side.x(edge), far), (side.x(60.0), far)))
        near = far


def _draw_bonnet(canvas: Canvas, rng: np.random.Generator) -> None:
    """The bonnet of the car that carries the camera."""
    height, width = canvas.camera.height, canvas.camera.width
    colour, rise = shaded(tinted(rng, VEHICLES), 0.6), rng.uniform(0.03, 0.09)
    centre = (rng.uniform(0.45, 0.55) * width, height * 1.02)
    canvas.ellipse(centre, (rng.uniform(0.45, 0.7) * width, rise * height), Ink(colour, EGO_VEHICLE, SMOOTH), 1.0)
