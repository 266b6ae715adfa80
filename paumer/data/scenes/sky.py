"""The sky and the light of the day."""

import numpy as np
from PIL import Image

from paumer.data.scenes.canvas import Light
from paumer.data.scenes.palette import Colour, mixed, pick, tinted

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
