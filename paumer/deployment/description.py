"""What is known of a trained network beside its weights: its data, measured operating points, and the model card.

Imports no torch and no pandas.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import Field, ValidationError, model_validator
from tabulate import tabulate

from paumer.config.base import Section, parse
from paumer.config.measuring import Evaluation
from paumer.config.network import NetworkSettings
from paumer.data.catalogue import described_folder, known_colours
from paumer.data.datasets import distinct_colours
from paumer.strategies.criteria import CONTROLS
from paumer.strategies.registry import OperatingPoint, criteria_of, operating_point
from paumer.system.errors import PaumerError, as_text
from paumer.system.files import ExperimentFiles, experiment_of, read_json

TUNED = "tune.json"  # result of `paumer tune --output` in the folder of the network
CARD = "card.md.j2"
METADATA = {
    "library_name": "paumer",
    "pipeline_tag": "image-segmentation",
    "tags": ["semantic-segmentation", "vision-transformer", "patch-pausing", "model_hub_mixin"],
    "license": "other",
    "license_name": "see-training-data",
}
HEADINGS = ["strategy", "schedule", "criterion", "mIoU", "drop", "GMAC", "images/s", "batch", "speed-up", "measured by"]
RATE = re.compile(r"images_per_s_b(\d+)")  # column of the main table
Colour = tuple[int, int, int]


class Preset(Section):
    """An operating point and what was measured of it; None: not measured.

    Attributes:
        miou: in points, mean over the seeds.
        drop: in points, below the dense network; in results of `paumer tune` below the same network without pausing.
        gmac: multiply-accumulates of an image.
        images_per_s: whole images a second, in a forward pass of `batch`.
        speedup: over dense.
        source: what measured it.
    """

    strategy: str = "dense"
    criterion: str = ""
    schedule: str = "dense"
    miou: float | None = None
    drop: float | None = None
    gmac: float | None = None
    images_per_s: float | None = None
    batch: int | None = None
    speedup: float | None = None
    source: str = ""

    @property
    def point(self) -> OperatingPoint:
        """The operating point.

        Raises:
            PaumerError: it is not possible.
        """
        if self.strategy == "dense":
            return OperatingPoint()
        return operating_point(self.strategy, self.criterion, self.schedule)

    def without_speed(self) -> "Preset":
        """The same without the numbers that depend on the device."""
        return self.model_copy(update={"images_per_s": None, "batch": None, "speedup": None})


class TunedPoint(Section, extra="ignore"):
    """An operating point that `paumer tune` measured; `gmac_ratio` is its share of the unpaused network's GMAC."""

    strategy: str
    schedule: str
    miou: float
    drop: float
    images_per_s: float
    speedup: float
    speedup_low: float | None = None
    speedup_high: float | None = None
    gmac_ratio: float


class Unpaused(Section, extra="ignore"):
    """The network that a tuned one is compared with; GMAC of one timed input."""

    miou: float | None = None
    images_per_s: float | None = None
    gmac: float


class TimedOn(Section, extra="ignore"):
    """How `paumer tune` measured speed: inputs of `size`, of which `windows` make an image."""

    batch: int
    size: tuple[int, int] | None = None
    windows: float = 1.0
    precision: str = ""
    rounds: int | None = None
    noise: float | None = None
    device: str


class TuneResult(TunedPoint):
    """The content of `tune.json`: the operating point that was chosen, from what, and what measured it."""

    run: str = ""
    budget: str = ""
    criterion: str
    unpaused: Unpaused
    split: str
    images: int | None = None
    images_of_split: int | None = None
    timed: TimedOn
    finalists: tuple[TunedPoint, ...]
    code: dict[str, str] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)

    def presets(self) -> list[Preset]:
        """The operating point that was chosen, and the others that were measured."""
        return [
            Preset(
                criterion=self.criterion if criteria_of(point.strategy) else "",
                gmac=point.gmac_ratio * self.unpaused.gmac * self.timed.windows,
                batch=self.timed.batch,
                source=f"paumer tune, split {self.split}, {self.timed.device}",
                **point.model_dump(include={"strategy", "schedule", "miou", "drop", "images_per_s", "speedup"}),
            )
            for point in {point.schedule: point for point in (self, *self.finalists)}.values()
        ]


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


def known_presets(folder: Path, run: dict[str, Any]) -> list[Preset]:
    """The measured operating points of a run: of `paumer tune`, then of the tables of its experiment."""
    found = tuned(folder)
    try:
        experiment = experiment_of(folder)
    except PaumerError:
        return found
    if experiment.main.is_file() and not run.get("variant"):  # the tables have no ablations
        found += table_presets(experiment, run)
    return found


def tuned(folder: Path) -> list[Preset]:
    """The operating points that `paumer tune` measured, if its result is in the folder of the network.

    Raises:
        PaumerError: the file is not such a result.
    """
    path = folder / TUNED
    if not path.is_file():
        return []
    try:
        return TuneResult.model_validate(read_json(path)).presets()
    except ValidationError:
        raise PaumerError(f"{path}: no result of `paumer tune --output`; write it again") from None


def table_presets(experiment: ExperimentFiles, run: dict[str, Any]) -> list[Preset]:
    """The operating points of a run's backbone and recipe in the main table, without controls.

    Speed is that at the largest batch at which the dense network was timed.

    Raises:
        PaumerError: the table is damaged.
    """
    try:
        with experiment.main.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file, strict=True) if row["backbone"] == run["backbone"]]
        dense = [row for row in rows if row["recipe"] == row["strategy"] == "dense"]
        timed = [int(found[1]) for row in dense for name in row if (found := RATE.fullmatch(name)) and row[name]]
        batch = max(timed, default=None)
        machine = read_json(experiment.machine, environment=dict) if experiment.machine.is_file() else None
        device = f", {machine['environment'].get('device', 'unknown device')}" if machine else ""
        return [
            Preset(
                **{name: row[name] for name in ("strategy", "criterion", "schedule")},
                **{name: _number(row[name]) for name in ("miou", "drop", "gmac")},
                **{name: _number(row.get(f"{name}_b{batch}", "")) for name in ("images_per_s", "speedup")},
                batch=batch,
                source=f"tables of the experiment{device}",
            )
            for row in rows
            if row["recipe"] == run["recipe"] and row["criterion"] not in CONTROLS
        ]
    except PaumerError:
        raise
    except (OSError, KeyError, TypeError, ValueError, csv.Error):
        raise PaumerError(f"{experiment.main}: damaged; remove it and run its stage again") from None


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


def model_card(description: Description) -> str:
    """The text of README.md: metadata for the hub, then the card."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["as_text"] = as_text
    presets = description.presets
    return environment.get_template(CARD).render(
        {name: getattr(description, name) for name in (*Description.model_fields, "name")},
        metadata=yaml.safe_dump(METADATA, sort_keys=False),
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
