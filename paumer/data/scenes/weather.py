"""From the drawn canvas to a photograph: grain of materials, exposure, colour temperature, blur and noise."""

import numpy as np
from PIL import Image, ImageFilter

from paumer.data.scenes.canvas import FINE, GRASS, LEAVES, ROUGH, SMOOTH
from paumer.data.scenes.palette import chance

# Share of fine, of horizontal and of blotchy noise in each material's brightness.
GRAIN = {
    SMOOTH: (0.01, 0.0, 0.03),
    FINE: (0.025, 0.01, 0.035),
    ROUGH: (0.035, 0.05, 0.035),
    GRASS: (0.1, 0.06, 0.1),
    LEAVES: (0.12, 0.0, 0.2),
}


def photograph(rng: np.random.Generator, colours: np.ndarray, materials: np.ndarray) -> np.ndarray:
    """The camera's image (H, W, 3) uint8 of drawn `colours` (H, W, 3) uint8 with `materials` (H, W) uint8."""
    image = colours.astype(np.float32) * (1.0 + _grain(rng, materials))[..., None]
    image = _expose(rng, image)
    photo = Image.fromarray(image.clip(0, 255).astype(np.uint8))
    photo = photo.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 0.5)))
    noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(1.0, 3.0))
    return (np.asarray(photo, dtype=np.float32) + noise).clip(0, 255).astype(np.uint8)


def _grain(rng: np.random.Generator, materials: np.ndarray) -> np.ndarray:
    """Relative brightness (H, W) around 0 by material."""
    shares = np.array([GRAIN[material] for material in sorted(GRAIN)], dtype=np.float32) * rng.uniform(0.6, 1.4)
    weights = shares[materials]
    height, width = materials.shape
    fields = (_noise(rng, height, width, 1, 1), _noise(rng, height, width, 1, 3), _noise(rng, height, width, 3, 4))
    return sum((weights[..., k] * field for k, field in enumerate(fields)), np.zeros_like(fields[0]))


def _noise(rng: np.random.Generator, height: int, width: int, rows: int, columns: int) -> np.ndarray:
    """Normal noise (H, W) whose blots are `rows` x `columns` pixels."""
    coarse = rng.standard_normal((-(-height // rows), -(-width // columns)), dtype=np.float32)
    if rows == columns == 1:
        return coarse
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))


def _expose(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Exposure, contrast, colour temperature, darker corners, and at times a low sun's veil."""
    height, width = image.shape[:2]
    warmth, tint = rng.normal(0.0, 0.025), rng.normal(0.0, 0.01)
    gains = np.array([1.0 + warmth, 1.0 + tint, 1.0 - warmth], dtype=np.float32) * rng.uniform(0.88, 1.12)
    rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    corners = 1.0 - rng.uniform(0.0, 0.15) * (rows**2 + columns**2) / 2
    image = image * gains * corners[..., None].astype(np.float32)
    middle = np.float32(image.mean())
    image = middle + (image - middle) * np.float32(rng.uniform(0.94, 1.12))
    if chance(rng, 0.06):
        veil = np.exp(-((columns - rng.uniform(-1, 1)) ** 2 + (rows + 0.6) ** 2) / 0.3)
        image = image + (rng.uniform(20, 80) * veil[..., None]).astype(np.float32)
    return image
