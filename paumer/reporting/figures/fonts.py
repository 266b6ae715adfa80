"""Fonts for names that matplotlib's usual one cannot write, such as Chinese ones."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.patheffects import Normal
from matplotlib.text import Text

BOXES = "last resort"  # a font of boxes, one for every character


@contextmanager
def all_characters(figure: Figure) -> Iterator[None]:
    """Within the block every text of a figure has the installed fonts that it needs.

    Characters that no installed font has are named on standard error, once.
    """
    texts = figure.findobj(Text)
    lacking = [_lacking(findfont(text.get_fontproperties()), text.get_text()) for text in texts]
    families = _families(frozenset().union(*lacking))
    for text, characters in zip(texts, lacking, strict=True):
        if characters:
            text.set_fontfamily(list(dict.fromkeys([*text.get_fontfamily(), *families])))
            text.set_path_effects([Normal()])  # as outlines: PDF readers show nothing of many such fonts
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # said above
        yield


@cache
def _families(characters: frozenset[str]) -> tuple[str, ...]:
    """The fewest installed fonts that have these characters."""
    chosen: list[str] = []
    left = set(characters)
    while left:
        lacked = ((name, _lacking(path, left)) for path, name in _installed())
        family, lacking = min(lacked, key=lambda one: len(one[1]))
        if len(lacking) == len(left):
            print(
                f"no installed font has {''.join(sorted(left))}: figures show boxes there; install one, such as the "
                "package fonts-noto-cjk for Chinese, Japanese and Korean, and draw them again",
                file=sys.stderr,
            )
            break
        chosen.append(family)
        left = lacking
    return tuple(chosen)


@cache
def _installed() -> tuple[tuple[str, str], ...]:
    """Files and families of all fonts."""
    return tuple(sorted({(font.fname, font.name) for font in fontManager.ttflist if BOXES not in font.name.lower()}))


def _lacking(path: str, characters: str | set[str]) -> set[str]:
    """The characters, but for blanks, that a font lacks."""
    font = _opened(path)
    return {one for one in characters if not one.isspace() and not font.get_char_index(ord(one))}


@cache
def _opened(path: str) -> FT2Font:
    return FT2Font(path)
