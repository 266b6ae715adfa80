"""The looks of methods as Vega and HTML draw them: the same colours and markers as in the figures."""

from collections.abc import Iterable

from matplotlib.markers import MarkerStyle
from matplotlib.path import Path as Outline

from paumer.reporting.looks import SIZE, Look
from paumer.reporting.style import Marker

STAR: Marker = "*"  # the dense network
# A marker of matplotlib spans 1; a symbol of Vega spans 2 at the size that it calls 1.
SCALE = 1.7
COMMANDS = {Outline.MOVETO: "M", Outline.LINETO: "L", Outline.CURVE3: "Q", Outline.CURVE4: "C", Outline.CLOSEPOLY: "Z"}


def outline(marker: Marker, scale: float = SCALE) -> str:
    """The marker as an SVG path around (0, 0), downwards positive."""
    style = MarkerStyle(marker)
    path = style.get_path().transformed(style.get_transform())
    parts = []
    for points, code in path.iter_segments(curves=True, simplify=False):
        command = COMMANDS[Outline.code_type(code)]
        numbers = "" if command == "Z" else ",".join(f"{value:.3f}" for value in _downwards(points, scale))
        parts.append(f"{command}{numbers}")
    return "".join(parts)


def symbols(styles: dict[str, Look], star: str) -> list[dict[str, object]]:
    """Name, colour, outline and hollowness of every method; `star` is the dense network.

    Args:
        styles: looks of the methods.
        star: the method that is drawn as a star.
    """
    described: list[dict[str, object]] = []
    for name, look in styles.items():
        larger = look.symbol["markersize"] / SIZE
        shape = outline(STAR) if name == star else outline(look.marker, SCALE * larger)
        described.append({"name": name, "colour": look.colour, "outline": shape, "hollow": look.hollow})
    return described


def _downwards(points: Iterable[float], scale: float) -> list[float]:
    """Coordinates of a segment in the units of Vega, with the vertical ones turned over."""
    return [scale * float(value) * (-1 if index % 2 else 1) for index, value in enumerate(points)]
