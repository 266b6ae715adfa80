"""What the page carries so that it needs no network: the library of charts, its own scripts, and data."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import vl_convert
from markupsafe import Markup

TEMPLATES = Path(__file__).parents[1] / "templates"
# In the order in which they use one another.
SCRIPTS = ("common", "points", "explorer", "charts", "viewer", "tables", "start")


@cache
def library() -> Markup:
    """Vega-Embed, with Vega and all else that it needs, as one script; takes a second or two."""
    return _inside_script(vl_convert.javascript_bundle())  # type: ignore[call-arg]  # the snippet may be left out


def scripts() -> Markup:
    """The page's own scripts, in one scope."""
    parts = [(TEMPLATES / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    return _inside_script('(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n")


def stylesheet() -> Markup:
    """The page's style."""
    return Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))


def as_json(content: Any) -> Markup:
    """Data for a script element: JSON that cannot end the element."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _inside_script(text: str) -> Markup:
    """A script that does not end its element early."""
    return Markup(text.replace("</script", "<\\/script").replace("<!--", "<\\!--"))
