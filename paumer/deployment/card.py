"""The model card of an exported network, `README.md` of its folder."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from tabulate import tabulate

from paumer.deployment.description import Description
from paumer.deployment.presets import Preset
from paumer.system.errors import as_text

CARD = "card.md.j2"
HEADINGS = ["strategy", "schedule", "criterion", "mIoU", "drop", "GMAC", "images/s", "batch", "speed-up", "measured by"]


def model_card(description: Description) -> str:
    """The text of README.md: metadata for the hub, then the card."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["as_text"] = as_text
    presets = description.presets
    return environment.get_template(CARD).render(
        {name: getattr(description, name) for name in (*Description.model_fields, "name")},
        pausing=next((preset for preset in presets if preset.strategy == "pause"), None),
        timed=any(preset.images_per_s for preset in presets),
        table=_table(presets),
    )


def _table(presets: Sequence[Preset]) -> str:
    """Measured operating points in Markdown, without empty columns."""
    forms = {"miou": ".2f", "drop": ".2f", "gmac": ".4g", "images_per_s": ".4g", "batch": "d", "speedup": ".2f"}
    fields = ("strategy", "schedule", "criterion", *forms, "source")
    rows = [
        ["" if (value := getattr(preset, name)) is None else format(value, forms.get(name, "")) for name in fields]
        for preset in presets
    ]
    filled = [number for number in range(len(fields)) if any(row[number] for row in rows)]
    shown = [[row[number] for number in filled] for row in rows]
    return tabulate(shown, [HEADINGS[number] for number in filled], "pipe", disable_numparse=True)
