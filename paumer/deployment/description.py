"""What running a trained network takes beside its weights: its data, how images are seen, and what it is known to do.

Imports no torch and no pandas.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from paumer.config.base import Section, parse
from paumer.config.measuring import Evaluation
from paumer.config.network import NetworkSettings
from paumer.data.catalogue import described_folder, known_colours
from paumer.data.datasets import distinct_colours
from paumer.deployment.presets import Preset, known_presets
from paumer.system.files import experiment_of, read_json

Colour = tuple[int, int, int]


class Description(Section):
    """What running a network and publishing it takes; `config.json` of an exported network."""

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
        manifest: `data.json` of the data it was trained on; by default that of its experiment.
        evaluation: how images are seen; by default in windows as large as the training crops.

    Raises:
        PaumerError: the folder holds no finished run, or `data.json` is missing or of other data.
    """
    run = read_json(folder / "run.json", backbone=str, recipe=str, seed=int, network=dict)
    network = parse(NetworkSettings, run["network"], str(folder / "run.json"))
    manifest = manifest or experiment_of(folder, "name that of its data with --data").manifest
    data = read_json(manifest, dataset=str, classes=list)
    trained = network.backbone.model_copy(update={"weights": "none"})  # a local path may not be published
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


def windows_of(network: NetworkSettings) -> Evaluation:
    """Windows as large as the training crops, which overlap by a third."""
    height, width = network.image_size
    stride = (max(1, height * 2 // 3), max(1, width * 2 // 3))
    return Evaluation(inference="sliding", window=(height, width), stride=stride)


def colours_of(data: dict[str, Any], manifest: Path) -> Sequence[Colour]:
    """The colours of a dataset's classes, as in the report; distinct ones where they are not known."""
    count = len(data["classes"])
    known = known_colours(data["dataset"], described_folder(manifest, str(data.get("folder", ""))), manifest)
    return known if len(known) == count else distinct_colours(count)
