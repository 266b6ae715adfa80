"""Colours of classes: those of classes that come without, and how they are written."""

import colorsys

from paumer.data.datasets import Colour

GOLDEN = 0.618034  # hues that are this far apart fall into the largest gap
SHADES = ((0.65, 0.9), (0.95, 0.75), (0.4, 0.7), (0.8, 0.5))


def distinct_colours(count: int) -> tuple[Colour, ...]:
    """As many colours, none of them black or twice, neighbours far apart; the same every time."""
    colours = []
    for number in range(count):
        saturation, value = SHADES[number % len(SHADES)]
        red, green, blue = colorsys.hsv_to_rgb(number * GOLDEN % 1, saturation, value)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return tuple(colours)


def to_hex(colour: Colour) -> str:
    """A colour as it is written, `#804080`."""
    return f"#{bytes(colour).hex()}"


def from_hex(text: str) -> Colour:
    """The colour that is written so.

    Raises:
        ValueError: none is.
    """
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue
