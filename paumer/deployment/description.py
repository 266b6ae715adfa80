"""What is known of a trained network beside its weights. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from paumer.config import Evaluation, Section, parse
from paumer.data.catalogue import described_folder, known_colours
from paumer.data.colours import distinct_colours
from paumer.deployment.presets import Preset, known_presets
from paumer.errors import PaumerError
from paumer.files import read_json
from paumer.stages import NetworkSettings

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
