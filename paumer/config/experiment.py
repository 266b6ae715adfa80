"""The configuration of a whole experiment.

Keys that would do nothing: an experiment that sets one is refused, with what would make it do something.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from paumer.config.base import NAME, Different, Section, explain, parse
from paumer.config.measuring import Evaluation, Figures, Sweep, SweepItem, Throughput
from paumer.config.network import Backbone, Data, Decoder, Heads, NetworkChoice, check_heads
from paumer.config.training import Ablation, Pausing, Phase, Training
from paumer.strategies.notation import Schedule
from paumer.strategies.registry import WITH_HEADS, OperatingPoint, operating_point
from paumer.system.errors import PaumerError

# The path of a section, the section, those of its keys that do nothing, and what would make them.
Idle = tuple[str, Section, tuple[str, ...], str]


def idle_key(experiment: "Experiment") -> str | None:
    """The first key that is set and does nothing, in a sentence; None where every key does something.

    A key is set where its value is another one than by default: what a stage stores names all of them.
    """
    ablations = (idle for name in experiment.ablations for idle in _of_ablation(experiment, name))
    return _first(chain(_of_experiment(experiment), ablations))


def read_evaluation(content: Any, origin: str) -> Evaluation:
    """Validate an evaluation that somebody wrote outside of an experiment.

    Raises:
        PaumerError: it is none, or has a key that does nothing.
    """
    evaluation: Evaluation = parse(Evaluation, content, origin)
    if idle := _first(_of_evaluation("evaluation", evaluation)):
        raise PaumerError(f"{origin}: {idle}")
    return evaluation


def _first(idle: Iterable[Idle]) -> str | None:
    for path, section, names, remedy in idle:
        for name in names:
            default = type(section).model_fields[name].get_default(call_default_factory=True)
            if getattr(section, name) != default:
                return f"{path}.{name}: does nothing {remedy}, or leave it out"
    return None


def _of_experiment(experiment: "Experiment") -> Iterator[Idle]:
    training, recipes = experiment.training, experiment.training.recipes
    yield from _of_decoder("decoder", experiment.decoder)
    yield from _of_heads("heads", experiment.heads)
    for backbone in experiment.backbones:
        path = f"backbones.{backbone.name}"
        if backbone.decoder is not None:
            yield from _of_decoder(f"{path}.decoder", backbone.decoder)
        if backbone.heads is not None:
            yield from _of_heads(f"{path}.heads", backbone.heads)
        if backbone.control_for is not None:
            yield path, backbone, ("heads",), "for a control, which is trained plainly; remove control_for"
    if recipes and not set(WITH_HEADS) & set(recipes):
        remedy = f"without a recipe that trains heads; add {' or '.join(WITH_HEADS)} to training.recipes"
        yield "heads", experiment.heads, ("weight", "gradient"), remedy
        yield "training", training, ("shared_heads",), remedy
    if training.shared_phase is None:
        yield "training", training, ("shared_heads",), "without a shared phase; describe training.shared_phase"
    else:
        yield from _of_phase("training.shared_phase", training.shared_phase)
    yield from _of_phase("training.recipe_phase", training.recipe_phase)
    drawn = {"paumer": ("pausing", training.pausing), "merge": ("merging", training.merging)}
    for recipe, (name, section) in (drawn | {"resize": ("resizing", training.resizing)}).items():
        if recipe not in recipes:
            every = tuple(type(section).model_fields)
            yield f"training.{name}", section, every, f"without recipe {recipe}; add it to training.recipes"
    if recipes and "paumer" not in recipes:
        figures = experiment.figures
        yield "figures", figures, tuple(type(figures).model_fields), "without recipe paumer; add it to training.recipes"
    yield from _of_evaluation("evaluation", experiment.evaluation)
    if experiment.data.dataset != "scenes":
        scenes = experiment.data.scenes
        yield "data.scenes", scenes, tuple(type(scenes).model_fields), "for a dataset that is not drawn; use scenes"


def _of_ablation(experiment: "Experiment", name: str) -> Iterator[Idle]:
    """What an ablation itself names; what it makes idle by changing something else is what it ablates."""
    change, ablated = experiment.ablations[name], experiment.ablated(name)
    for path, section, names, remedy in _of_heads("heads", ablated.heads):
        yield f"ablations.{name}.{path}", section, tuple(key for key in names if key in change.heads), remedy


def _of_decoder(path: str, decoder: Decoder) -> Iterator[Idle]:
    if decoder.name == "linear":
        yield path, decoder, ("layers", "dropout"), f"in the linear decoder; set {path}.name to mask_transformer"
    else:
        yield path, decoder, ("sub_patch",), f"in the mask transformer; set {path}.name to linear"


def _of_heads(path: str, heads: Heads) -> Iterator[Idle]:
    if not heads.adapter:
        yield path, heads, ("layers",), f"without adapters; set {path}.adapter above 0"


def _of_phase(path: str, phase: Phase) -> Iterator[Idle]:
    if phase.optimizer != "sgd":
        yield path, phase, ("momentum",), f"with {phase.optimizer}; set {path}.optimizer to sgd"
    if phase.optimizer != "muon":
        yield path, phase, ("matrix_learning_rate",), f"with {phase.optimizer}; set {path}.optimizer to muon"


def _of_evaluation(path: str, evaluation: Evaluation) -> Iterator[Idle]:
    if evaluation.inference == "whole":
        yield path, evaluation, ("window", "stride"), f"where images are seen whole; set {path}.inference to sliding"


Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Different]
DEVICE = re.compile(r"auto|cpu|(cuda|xpu)(:\d+)?|mps")


class Experiment(NetworkChoice, Section):
    """A whole experiment: `config.yaml` and the files under `workflow/experiments` hold one each."""

    experiment: str = Field("scenes", pattern=NAME, description="Results go to `<results>/<experiment>`.")
    results: str = Field("results", min_length=1, description="Folder of all results.")
    seeds: Seeds = Field((0,), min_length=1, description="One training run per recipe and seed.")
    device: str = Field("auto", description="`auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`, ...")
    data: Data = Field(default_factory=Data, description="Images.")
    backbones: tuple[Backbone, ...] = Field(min_length=1, description="Vision transformers.")
    decoder: Decoder = Field(default_factory=Decoder, description="Decoder.")
    heads: Heads = Field(default_factory=Heads, description="Auxiliary heads.")
    training: Training = Field(default_factory=Training, description="Training.")
    sweep: Sweep = Field(
        (SweepItem(strategy="pause", schedules=("3:0.4",), criteria=("entropy", "random")),),
        description="Operating points at which trained networks are evaluated and measured, beside dense.",
    )
    ablations: dict[Annotated[str, Field(pattern=NAME)], Ablation] = Field(
        default_factory=dict, description="Variants of recipe `paumer` by name, each trained and evaluated like it."
    )
    evaluation: Evaluation = Field(default_factory=Evaluation, description="Accuracy.")
    throughput: Throughput = Field(default_factory=Throughput, description="Images/s.")
    figures: Figures = Field(default_factory=Figures, description="Figures.")

    def backbone(self, name: str) -> Backbone:
        """The backbone of that name."""
        return next(backbone for backbone in self.backbones if backbone.name == name)

    def recipes_of(self, backbone: Backbone) -> tuple[str, ...]:
        """The recipes by which a backbone is trained: a control only plainly."""
        return tuple(name for name in self.training.recipes if backbone.control_for is None or name == "dense")

    def ablated(self, name: str) -> Self:
        """This experiment with the changes of an ablation.

        Raises:
            ValidationError: a changed key is unknown or has an impossible value.
        """
        change, training = self.ablations[name], self.training
        pausing = Pausing.model_validate(training.pausing.model_dump() | change.pausing)
        training = training.model_copy(update={"pausing": pausing})
        backbones = tuple(
            item.model_copy(update={"heads": _changed(item.heads, change)}) if item.heads else item
            for item in self.backbones
        )
        changed = {"heads": _changed(self.heads, change), "backbones": backbones, "training": training}
        return self.model_copy(update={**changed, "ablations": {}})

    @field_validator("results")
    @classmethod
    def _no_pattern(cls, folder: str) -> str:
        if set("{}") & set(folder):
            raise ValueError(f"{folder!r} has braces, which stand for wildcards in a workflow; name another folder")
        return folder

    @field_validator("device")
    @classmethod
    def _known(cls, device: str) -> str:
        if not DEVICE.fullmatch(device):
            raise ValueError(f"{device!r} is no device; use auto, cpu, cuda or cuda:1")
        return device

    @model_validator(mode="after")
    def _agree(self) -> Self:
        names = [backbone.name for backbone in self.backbones]
        if len(set(names)) != len(names):
            raise ValueError(f"backbones: names must differ, not {', '.join(names)}")
        main = [backbone.name for backbone in self.main_backbones]
        for backbone in self.backbones:
            if backbone.control_for is not None and backbone.control_for not in main:
                raise ValueError(
                    f"backbones.{backbone.name}.control_for: {backbone.control_for!r} is no backbone that is studied; "
                    f"use {', '.join(main) or 'one without control_for'}"
                )
        self._check_heads()
        self._check_ablations()
        if self.training.recipes and "dense" not in self.training.recipes:
            raise ValueError("training.recipes: `dense` is missing; every drop is counted from it")
        for item in self.sweep:
            for recipe in item.recipes:
                if self.training.recipes and recipe not in self.training.recipes:
                    raise ValueError(
                        f"sweep, {item.strategy}: no network of recipe {recipe} is trained; add it to training.recipes"
                    )
        for name in self.throughput.sizes:
            if name not in main:
                raise ValueError(f"throughput.sizes: {name!r} is none of the studied backbones; use {', '.join(main)}")
        for backbone in self.main_backbones:
            depth = backbone.options.get("depth")
            if isinstance(depth, int):
                self.check_depth(depth, backbone)
        self._check_idle()
        return self

    def _check_idle(self) -> None:
        """Refuse keys that do nothing, and ablations that change nothing."""
        for name in self.ablations:
            if self.ablated(name) == self.model_copy(update={"ablations": {}}):
                raise ValueError(f"ablations.{name}: changes nothing; name keys of heads or pausing with other values")
        if (idle := idle_key(self)) is not None:
            raise ValueError(idle)

    def _check_ablations(self) -> None:
        """Refuse ablations of a recipe that is not trained, and those that change what is not there."""
        if self.ablations and "paumer" not in self.training.recipes:
            raise ValueError("ablations: they are variants of recipe paumer; add it to training.recipes")
        for name in self.ablations:
            try:
                self.ablated(name)._check_heads()
            except ValidationError as error:
                model = {section.__name__: section for section in (Heads, Pausing)}[error.title]
                raise ValueError(explain(error, model, f"ablations.{name}.{model.__name__.lower()}")) from None

    def _check_heads(self) -> None:
        """Refuse operating points that read a head that is not there."""
        shown = Schedule(self.figures.pause_schedule)
        wanted = [("figures.pause_schedule", str(shown), block) for block in shown.blocks]
        wanted += [(key, point.schedule, block) for key, point in self._points() for block in point.head_blocks]
        for backbone in self.main_backbones:
            heads = backbone.heads or self.heads
            key = f"backbones.{backbone.name}.heads" if backbone.heads else "heads"
            if heads.classifier == "decoder" and self.decoder_of(backbone).name != "linear":
                raise ValueError(f"{key}.classifier: only the linear decoder reads patches one by one; use own")
            for origin, text, block in wanted:
                if block not in heads.blocks:
                    raise ValueError(
                        f"{origin}: {text} reads the prediction after block {block}, where no head is; add {block} to "
                        f"{key}.blocks (now {list(heads.blocks)})"
                    )

    def check_depth(self, depth: int, backbone: Backbone) -> None:
        """Refuse heads and operating points of a backbone beyond the last of its `depth` blocks.

        Raises:
            PaumerError: one of them lies there.
        """
        points = self._points()
        if "merge" in self.training.recipes:
            merging = self.training.merging.schedules
            points += [("training.merging.schedules", operating_point("local-merge", "", text)) for text in merging]
        key = f"backbones.{backbone.name}"
        origin = f"{key}." if backbone.heads else ""
        try:
            check_heads((backbone.heads or self.heads).blocks, depth)
            for name, point in points:
                origin = f"{name}: "
                point.check_depth(depth)
        except PaumerError as error:
            raise PaumerError(f"{origin}{error}, or change depth or control_for of {key}") from None

    def _points(self) -> list[tuple[str, OperatingPoint]]:
        """The operating points of the sweep, each with the key that names it."""
        return [
            (f"sweep.{number}.schedules", point) for number, item in enumerate(self.sweep) for point in item.points()
        ]


def _changed(heads: Heads, change: Ablation) -> Heads:
    return Heads.model_validate(heads.model_dump() | change.heads)
