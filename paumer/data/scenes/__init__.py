"""Street scenes drawn by rule, with label maps, and writing them in the layout of Cityscapes on disk."""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from paumer.data.cityscapes import DATASET as CITYSCAPES
from paumer.data.cityscapes import IMAGE_ENDING, LABEL_IDS_ENDING
from paumer.data.scenes import paint
from paumer.data.scenes.canvas import Camera, Canvas, Ink, random_camera
from paumer.data.scenes.paint import chance, pick, shaded, tinted
from paumer.data.scenes.street import draw_far_end, draw_row
from paumer.data.scenes.surroundings import STREETS, Side, draw_ground, draw_rails, draw_sky, random_light, random_side
from paumer.data.scenes.traffic import populate
from paumer.system.errors import PaumerError
from paumer.system.files import writing_folder
from paumer.system.progress import run_all

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
    character = pick(rng, STREETS)
    sky, haze = draw_sky(rng, camera.height, camera.width, camera.horizon)
    canvas = Canvas(camera, random_light(rng, haze), sky, paint.SKY)
    sides = (random_side(rng, -1, character.green), random_side(rng, 1, character.green))
    end = draw_far_end(canvas, rng, character)
    draw_ground(canvas, rng, sides)
    rails = rng.uniform(-4.2, -2.9) if sides[0].kerb > 5.0 and chance(rng, 0.13) else None  # x of a tram line
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
    colour, rise = shaded(tinted(rng, paint.VEHICLES), 0.6), rng.uniform(0.03, 0.09)
    centre = (rng.uniform(0.45, 0.55) * width, height * 1.02)
    canvas.ellipse(centre, (rng.uniform(0.45, 0.7) * width, rise * height), Ink(colour, paint.EGO_VEHICLE), 1.0)


# Share of fine, of horizontal and of blotchy noise in each material's brightness.
GRAIN = {
    paint.SMOOTH: (0.01, 0.0, 0.03),
    paint.FINE: (0.025, 0.01, 0.035),
    paint.ROUGH: (0.035, 0.05, 0.035),
    paint.GRASS: (0.1, 0.06, 0.1),
    paint.LEAVES: (0.12, 0.0, 0.2),
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
    """Exposure, contrast, colour temperature, darker corners, and sometimes the veil of a low sun."""
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


SPLITS = ("train", "val", "select")
CITIES = ("aldenburg", "brunnstadt", "corvingen", "dornheim")
CITY_BLOCK = 64  # Scenes in a row that share a city.
SMALLEST = 32
TRAIN_IDS = CITYSCAPES.tables[LABEL_IDS_ENDING].astype(np.uint8)


def generate(
    folder: Path,
    train_images: int,
    val_images: int,
    height: int,
    width: int,
    seed: int,
    processes: int = 1,
    select_images: int = 0,
) -> None:
    """Write a data set of street scenes into `folder`, whole or not at all; what was there is replaced.

    Each scene depends on the seed, its split, its index and the size alone, not on `processes` or the counts.

    Args:
        folder: the data set's root, as Cityscapes has it: `leftImg8bit` and `gtFine` lie below it.
        train_images: scenes in the split "train".
        val_images: scenes in the split "val".
        height: of each scene, in pixels, at least 32.
        width: of each scene, in pixels, at least 32.
        seed: same seed, same bytes.
        processes: how many processes draw.
        select_images: scenes in the split "select".

    Raises:
        PaumerError: a size or count is out of range.
    """
    if min(height, width) < SMALLEST:
        raise PaumerError(f"scenes of {height}x{width} pixels are too small; give at least {SMALLEST}x{SMALLEST}")
    if min(train_images, val_images, select_images, seed) < 0:
        raise PaumerError("train_images, val_images, select_images and seed of scenes must not be negative")
    if processes < 1:
        raise PaumerError(f"processes of scenes is {processes}; give 1 or more")
    counts = dict(zip(SPLITS, (train_images, val_images, select_images), strict=True))
    with writing_folder(folder) as root:
        scenes = [(split, number) for split in SPLITS for number in range(counts[split])]
        run_all(partial(_write_scene, root, height, width, seed), scenes, "scenes", processes)


def _write_scene(root: Path, height: int, width: int, seed: int, scene: tuple[str, int]) -> None:
    """Write a scene, by its split and number."""
    split, number = scene
    image, label_ids = draw_scene(np.random.default_rng([seed, SPLITS.index(split), number]), height, width)
    city, layout = CITIES[number // CITY_BLOCK % len(CITIES)], CITYSCAPES.layout
    image_path = layout.image_folder(root, split) / city / f"{city}_{number:06d}_000000{IMAGE_ENDING}"
    train_ids_path, label_ids_path = layout.label_paths(root, split, image_path)
    for path, pixels in ((image_path, image), (label_ids_path, label_ids), (train_ids_path, TRAIN_IDS[label_ids])):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, compress_level=1)
