"""Templates of pages with their style and scripts, and how cells are written in them."""

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
# Those of the report, in the order in which they use one another.
SCRIPTS = ("common", "points", "explorer", "charts", "viewer", "tables", "start")


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
    environment.globals["style"] = Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))
    return environment


def breakable(text: str) -> Markup:
    """A cell that may be broken where names and schedules are joined, and not within intervals and spreads."""
    kept = re.sub(r"(?<=±) |(?<=,) (?=[-\d.]+\])", "\N{NO-BREAK SPACE}", text)
    return Markup("<wbr>").join(re.split(r"(?<=[+>/])(?=.)", kept))


def scripts(*names: str) -> Markup:
    """The scripts of a page, by default those of the report, in one scope."""
    parts = [(TEMPLATES / f"{name}.js").read_text(encoding="utf-8") for name in names or SCRIPTS]
    return inside_script('(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n")


def inside_script(text: str) -> Markup:
    """A script that does not end its element early."""
    return Markup(text.replace("</script", "<\\/script").replace("<!--", "<\\!--"))
