"""Templates of pages, and how cells are written in them."""

import re

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from paumer.reporting.page.data import TEMPLATES, stylesheet


def templates() -> Environment:
    """The templates, with the style and the filters that all pages share."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    environment.globals["style"] = stylesheet()
    return environment


def breakable(text: str) -> Markup:
    """A cell that may be broken where names and schedules are joined, and not within intervals and spreads."""
    kept = re.sub(r"(?<=±) |(?<=,) (?=[-\d.]+\])", "\N{NO-BREAK SPACE}", text)
    return Markup("<wbr>").join(re.split(r"(?<=[+>/])(?=.)", kept))
