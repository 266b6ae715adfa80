"""What is known of a trained network beside its weights. Imports no torch.

The model card of an exported network: what it is, what it reaches, how to use it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, model_validator
from tabulate import tabulate

from paumer.config import Evaluation, Section, parse
from paumer.config.network import NetworkSettings
from paumer.data.catalogue import described_folder, known_colours
from paumer.data.datasets import distinct_colours
from paumer.deployment.presets import Preset, known_presets
from paumer.reporting.sheets import as_text
from paumer.system.errors import PaumerError
from paumer.system.files import read_json

Colour = tuple[int, int, int]


class Description(Section):
    """All that running a network, and telling others of it, takes; `config.json` of an exported network."""

    network: NetworkSettings
    recipe: str
    seed: int
    dataset: str
    classes: tuple[str, ...]
    colours: tuple[Colour, ...]
    licence: str = Field("", description="Of the dataset.")
    citation: str = Field("", description="Of the dataset.")
    evaluation: Evaluation = Field(default_factory=Evaluation)
    presets: tuple[Preset, ...] = ()
    note: str = Field("", description="How the network was made, in Markdown.")
    code: dict[str, str] = Field(default_factory=dict, description="Version and revision that trained it.")
    environment: dict[str, str] = Field(default_factory=dict, description="Versions and device of the training.")

    @model_validator(mode="after")
    def _agree(self) -> "Description":
        if not len(self.classes) == len(self.colours) == self.network.classes:
            raise ValueError(
                f"classes: {len(self.classes)} names and {len(self.colours)} colours for a network of "
                f"{self.network.classes} classes; name each once"
            )
        return self

    @property
    def name(self) -> str:
        """A name in a few words."""
        return f"{self.network.backbone.name}, recipe {self.recipe}, on {self.dataset}"


def describe_run(folder: Path, manifest: Path | None = None, evaluation: Evaluation | None = None) -> Description:
    """Describe a run that `paumer train` wrote.

    Args:
        folder: of the run.
        manifest: `data.json` of the data it was trained on; by default that of the experiment it lies in.
        evaluation: how images are seen; by default in windows as large as the crops it was trained on.

    Raises:
        PaumerError: the folder holds no finished run, or `data.json` is not there or of other data.
    """
    run = read_json(folder / "run.json", backbone=str, recipe=str, seed=int, network=dict)
    network = parse(NetworkSettings, run["network"], str(folder / "run.json"))
    manifest = manifest or manifest_of(folder)
    data = read_json(manifest, dataset=str, classes=list)
    trained = network.backbone.model_copy(update={"weights": "none"})  # where they came from is no one's business
    content: dict[str, Any] = {
        "network": network.model_copy(update={"backbone": trained}).model_dump(mode="json"),
        "recipe": run["recipe"],
        "seed": run["seed"],
        "dataset": data["dataset"],
        "classes": data["classes"],
        "colours": colours_of(data, manifest),
        "licence": data.get("licence", ""),
        "citation": data.get("citation", ""),
        "evaluation": (evaluation or windows_of(network)).model_dump(mode="json"),
        "presets": [preset.model_dump(mode="json") for preset in known_presets(folder, run)],
        "code": run.get("code", {}),
        "environment": run.get("environment", {}),
    }
    return parse(Description, content, str(folder))


def manifest_of(folder: Path) -> Path:
    """`data.json` of the experiment that a run lies in.

    Raises:
        PaumerError: there is none.
    """
    for parent in folder.resolve().parents:
        if (parent / "data.json").is_file():
            return parent / "data.json"
    raise PaumerError(f"{folder}: lies in no experiment with a data.json; name that of its data with --data")


def windows_of(network: NetworkSettings) -> Evaluation:
    """Windows as large as the crops that a network was trained on, a third of which overlaps."""
    height, width = network.image_size
    stride = (max(1, height * 2 // 3), max(1, width * 2 // 3))
    return Evaluation(inference="sliding", window=(height, width), stride=stride)


def colours_of(data: dict[str, Any], manifest: Path) -> Sequence[Colour]:
    """The colours of a dataset's classes, as the report shows them; any that differ where they are not known."""
    count = len(data["classes"])
    known = known_colours(data["dataset"], described_folder(manifest, str(data.get("folder", ""))), manifest)
    return known if len(known) == count else distinct_colours(count)


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
