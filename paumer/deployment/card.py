"""The model card of an exported network: what it is, what it reaches, how to use it."""

from collections.abc import Sequence
from typing import Any

import yaml
from tabulate import tabulate

from paumer.deployment.description import Description
from paumer.deployment.presets import Preset
from paumer.reporting.formatting import as_text

HEADINGS = ["strategy", "schedule", "criterion", "mIoU", "drop", "GMAC", "images/s", "batch", "speed-up", "measured by"]
CAUTION = (
    "mIoU, drop (both in points) and GMAC are of whole images, images/s too, at that batch and on the device that "
    "measured them. Speed-ups differ between devices: measure on yours."
)
NO_SPEED = (
    "mIoU, drop (both in points) and GMAC are of whole images. Speed depends on the device: `paumer.measure` tells it "
    "for yours."
)
USE = """\
```python
import paumer, torchvision

model = paumer.Segmenter.from_pretrained("USER/NAME")  # or a folder
image = torchvision.io.decode_image("street.png", mode="RGB")  # (3, height, width) uint8, of any size
classes = model{schedule}.segment(image)  # (height, width), ids of model.description.classes
```"""


def model_card(description: Description) -> str:
    """The text of README.md: metadata for the hub, then the card."""
    network, presets = description.network, description.presets
    parts = [
        _metadata(description),
        f"# {description.name}",
        f"{_sentence(description)} It was trained with PAUMER, and can pause patches: those that are certain "
        "early skip the remaining blocks. One set of weights serves many speeds; the schedule says which.",
        "## Use",
        USE.format(schedule=_example(presets)),
        "Images are seen as `evaluation` in `config.json` says; the classes and their colours stand there, too. On the "
        "command line: `paumer predict FOLDER -i IMAGES -o OUT`.",
        *_measured(presets, bool(description.note)),
        *(["## How it was made", description.note] if description.note else []),
        "## Training data",
        f"Dataset {description.dataset}, {network.classes} classes: {', '.join(map(as_text, description.classes))}.",
        *([f"Terms of the data: {description.licence}."] if description.licence else []),
        *([f"Please cite: {description.citation}."] if description.citation else []),
    ]
    return "\n\n".join(parts) + "\n"


def _metadata(description: Description) -> str:
    content: dict[str, Any] = {
        "library_name": "paumer",
        "pipeline_tag": "image-segmentation",
        "tags": ["semantic-segmentation", "vision-transformer", "patch-pausing", "model_hub_mixin"],
        "license": "other",
        "license_name": "see-training-data",
    }
    return f"---\n{yaml.safe_dump(content, sort_keys=False)}---"


def _sentence(description: Description) -> str:
    network = description.network
    height, width = network.image_size
    heads = "" if network.heads is None else f" with auxiliary heads after blocks {_listed(network.heads.blocks)}"
    return (
        f"A {network.backbone.architecture} with the {network.decoder.name.replace('_', ' ')} decoder of Segmenter"
        f"{heads}, recipe `{description.recipe}`, trained on crops of {height} x {width} pixels "
        f"(seed {description.seed})."
    )


def _measured(presets: Sequence[Preset], noted: bool) -> list[str]:
    """What is known of operating points; where nothing is, a note may say it."""
    if presets:
        told = CAUTION if any(preset.images_per_s for preset in presets) else NO_SPEED
        return ["## Operating points", _table(presets), told]
    return [] if noted else ["## Operating points", "None has been measured: its experiment has no tables."]


def _listed(blocks: Sequence[int]) -> str:
    return ", ".join(map(str, blocks))


def _example(presets: Sequence[Preset]) -> str:
    """A call that sets the first schedule that pauses."""
    pausing = [preset for preset in presets if preset.strategy == "pause"]
    return f'.with_schedule("{pausing[0].schedule}", criterion="{pausing[0].criterion}")' if pausing else ""


def _table(presets: Sequence[Preset]) -> str:
    rows = [
        [
            preset.strategy,
            preset.schedule,
            preset.criterion,
            _number(preset.miou, ".2f"),
            _number(preset.drop, ".2f"),
            _number(preset.gmac, ".4g"),
            _number(preset.images_per_s, ".4g"),
            "" if preset.batch is None else str(preset.batch),
            _number(preset.speedup, ".2f"),
            preset.source,
        ]
        for preset in presets
    ]
    filled = [number for number in range(len(HEADINGS)) if any(row[number] for row in rows)]
    shown = [[row[number] for number in filled] for row in rows]
    return tabulate(shown, [HEADINGS[number] for number in filled], "pipe", disable_numparse=True)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
