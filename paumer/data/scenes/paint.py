"""What things of a street are painted with: label ids, materials, and colours with their random variations.

Colour ranges of different classes overlap on purpose.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from paumer.data.cityscapes_labels import LABELS

_IDS = {label.name: label.id for label in LABELS}
EGO_VEHICLE, STATIC = _IDS["ego vehicle"], _IDS["static"]
ROAD, SIDEWALK, TERRAIN, VEGETATION, SKY = (_IDS[name] for name in ("road", "sidewalk", "terrain", "vegetation", "sky"))
BUILDING, WALL, FENCE, POLE = (_IDS[name] for name in ("building", "wall", "fence", "pole"))
TRAFFIC_LIGHT, TRAFFIC_SIGN = _IDS["traffic light"], _IDS["traffic sign"]
PERSON, RIDER, BICYCLE, MOTORCYCLE = (_IDS[name] for name in ("person", "rider", "bicycle", "motorcycle"))
CAR, TRUCK, BUS, TRAIN = (_IDS[name] for name in ("car", "truck", "bus", "train"))

MATERIALS = SMOOTH, FINE, ROUGH, GRASS, LEAVES = range(5)

Colour = tuple[int, int, int]
Choice = TypeVar("Choice")

GREYS: tuple[Colour, ...] = ((40, 41, 44), (70, 71, 73), (98, 98, 100), (125, 124, 122), (150, 150, 150))
PALES: tuple[Colour, ...] = ((180, 178, 172), (205, 200, 188), (215, 216, 218), (190, 200, 208), (214, 196, 168))
EARTHS: tuple[Colour, ...] = ((150, 90, 70), (120, 78, 60), (170, 130, 90), (135, 115, 85), (100, 82, 66))
GREENS: tuple[Colour, ...] = ((70, 92, 48), (52, 76, 44), (98, 112, 58), (84, 98, 78), (40, 58, 38))
DRY: tuple[Colour, ...] = ((150, 130, 70), (130, 105, 60), (145, 85, 50), (120, 110, 80), (160, 140, 95))
VIVIDS: tuple[Colour, ...] = ((165, 35, 35), (35, 65, 135), (200, 165, 40), (30, 95, 85), (205, 95, 35), (60, 110, 170))

FACADES = EARTHS * 2 + PALES[:2] + PALES[4:] + GREYS[1:4] + ((110, 124, 100), (150, 160, 130), (190, 150, 130))
VEHICLES = GREYS + GREYS + PALES[1:4] + VIVIDS + (EARTHS[0], GREENS[1], PALES[4])
CLOTHES = GREYS[:3] + PALES[:2] + VIVIDS * 2 + EARTHS[:2]
PLANTS = GREENS * 4 + DRY[1:3]
GRASSES = GREENS[:4] + ((110, 135, 62), (120, 140, 80)) * 3 + DRY[:4]
ASPHALTS: tuple[Colour, ...] = ((84, 84, 87), (98, 97, 98), (108, 106, 104), (70, 72, 76), (92, 93, 97))
PAVEMENTS: tuple[Colour, ...] = ((122, 119, 116), (140, 137, 133), (156, 151, 144), (150, 124, 110), (164, 152, 134))
SKINS: tuple[Colour, ...] = ((205, 165, 140), (180, 135, 105), (130, 90, 65), (85, 60, 48))
GLASS: tuple[Colour, ...] = ((28, 32, 38), (48, 54, 62), (75, 85, 96), (120, 135, 150))


def pick(rng: np.random.Generator, items: Sequence[Choice]) -> Choice:
    """One of `items`, all equally likely."""
    return items[int(rng.integers(len(items)))]


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True with the given probability."""
    return bool(rng.random() < probability)


def shaded(colour: Colour, factor: float) -> Colour:
    """`colour` made darker (factor < 1) or lighter (factor > 1)."""
    red, green, blue = colour
    return min(int(red * factor), 255), min(int(green * factor), 255), min(int(blue * factor), 255)


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """A blend that holds `share` of the second colour."""
    (red, green, blue), (to_red, to_green, to_blue) = first, second
    rest = 1.0 - share
    return int(rest * red + share * to_red), int(rest * green + share * to_green), int(rest * blue + share * to_blue)


def tinted(rng: np.random.Generator, colours: Sequence[Colour], spread: float = 10.0) -> Colour:
    """A random variation of one of `colours`, in brightness and a little in hue."""
    brightness, hue = rng.normal(0.0, 1.2 * spread), rng.normal(0.0, 0.5 * spread, 3)
    red, green, blue = (int(min(max(c + brightness + h, 8), 250)) for c, h in zip(pick(rng, colours), hue, strict=True))
    return red, green, blue
