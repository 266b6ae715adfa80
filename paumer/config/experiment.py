"""The configuration of a whole experiment, and what its sections must agree on."""

import re
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Annotated, Any, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from paumer.config.base import FOLDERS, NAME, Different, Section, parse, written
from paumer.config.idle import Idle, first_idle, idle_keys, set_keys
from paumer.config.measuring import Comparison, Evaluation, Figures, Method, Robustness, Sweep, Throughput
from paumer.config.network import Backbone, Data, Decoder, Heads, NetworkChoice, Scenes, check_heads
from paumer.config.training import Ablation, Training
from paumer.strategies.declared import WITH_HEADS, load_plugin
from paumer.strategies.notation import Schedule
from paumer.strategies.registry import OperatingPoint
from paumer.system.errors import PaumerError
from paumer.system.plugins import find_file

Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Different]
DEVICE = re.compile(r"auto|cpu|(cuda|xpu)(:\d+)?|mps")


class Experiment(NetworkChoice, Section):
    """A whole experiment: `config.yaml` and the files under `workflow/experiments` hold one each."""

    experiment: str = Field("scenes", pattern=NAME, description="Results go to `<results>/<experiment>`.")
    results: str = Field("results", min_length=1, description="Folder of all results.")
    seeds: Seeds = Field((0,), min_length=1, description="One training run per recipe and seed.")
    device: str = Field("auto", description="`auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`, ...")
    plugins: Annotated[tuple[str, ...], Different] = Field(
        (),
        description="Python files with strategies, criteria and datasets of your own, relative to this file or the "
        "working folder; docs/extending.md.",
    )
    data: Data = Field(default_factory=Data, description="Images.")
    backbones: tuple[Backbone, ...] = Field(min_length=1, description="Vision transformers.")
    decoder: Decoder = Field(default_factory=Decoder, description="Decoder.")
    heads: Heads = Field(default_factory=Heads, description="Auxiliary heads.")
    training: Training = Field(default_factory=Training, description="Training.")
    sweep: Sweep = written(
        ({"strategy": "pause", "schedules": ("3:0.4",), "criteria": ("entropy", "random")},),
        description="Operating points at which trained networks are evaluated and measured, beside dense.",
    )
    ablations: dict[Annotated[str, Field(pattern=NAME)], Ablation] = Field(
        default_factory=dict, description="Variants of recipe `paumer` by name, each trained and evaluated like it."
    )
    evaluation: Evaluation = Field(default_factory=Evaluation, description="Accuracy.")
    comparison: Comparison = Field(default_factory=Comparison, description="Methods at equal speed.")
    robustness: Robustness = Field(default_factory=Robustness, description="Accuracy on corrupted images.")
    throughput: Throughput = Field(default_factory=Throughput, description="Images/s.")
    figures: Figures = Field(default_factory=Figures, description="Figures.")

    def backbone(self, name: str) -> Backbone:
        """The backbone of that name."""
        return next(backbone for backbone in self.backbones if backbone.name == name)

    def recipes_of(self, backbone: Backbone) -> tuple[str, ...]:
        """The recipes by which a backbone is trained: a control only plainly."""
        return tuple(name for name in self.training.recipes if backbone.control_for is None or name == "dense")

    @property
    def robustness_recipes(self) -> tuple[str, ...]:
        """The recipes whose networks see corrupted images: dense, and those that an operating point runs on."""
        sweep = self.robustness.sweep
        return tuple(
            name
            for name in self.training.recipes
            if sweep and (name == "dense" or any(item.runs_on(name) for item in sweep))
        )

    def ablated(self, name: str) -> Self:
        """This experiment with the changes of an ablation.

        Raises:
            PaumerError: a changed key is unknown or has an impossible value.
        """

        def changed(section: Section, place: str) -> Any:
            content = section.model_dump() | getattr(self.ablations[name], place)
            return parse(type(section), content, f"ablations.{name}.{place}")

        backbones = tuple(
            item.model_copy(update={"heads": changed(item.heads, "heads")}) if item.heads else item
            for item in self.backbones
        )
        training = self.training.model_copy(update={"pausing": changed(self.training.pausing, "pausing")})
        parts = {"heads": changed(self.heads, "heads"), "backbones": backbones, "training": training}
        return self.model_copy(update={**parts, "ablations": {}})

    @field_validator("plugins")
    @classmethod
    def _loaded(cls, files: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """Register what they declare, before the keys below name it; gives absolute paths."""
        folders = (info.context or {}).get(FOLDERS, ())
        return tuple(str(load_plugin(find_file(name, folders))) for name in files)

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
        if self.comparison.methods and self.data.select_split is None:
            raise ValueError("comparison.methods: nothing to choose their parameters on; name data.select_split")
        for key, methods in self._methods().items():
            for item in methods:
                for recipe in item.recipes:
                    if self.training.recipes and recipe not in self.training.recipes:
                        raise ValueError(
                            f"{key}, {item.strategy}: no network of recipe {recipe} is trained; add it to "
                            "training.recipes"
                        )
        for name in self.throughput.sizes:
            if name not in main:
                raise ValueError(f"throughput.sizes: {name!r} is none of the studied backbones; use {', '.join(main)}")
        for backbone in self.main_backbones:
            depth = backbone.options.get("depth")
            if isinstance(depth, int):
                self.check_depth(depth, backbone)
        if (idle := first_idle(self._idle())) is not None:
            raise ValueError(idle)
        return self

    def _check_ablations(self) -> None:
        """Refuse ablations of a recipe that is not trained, those that read heads that are not there, and null ones."""
        if self.ablations and "paumer" not in self.training.recipes:
            raise ValueError("ablations: they are variants of recipe paumer; add it to training.recipes")
        for name in self.ablations:
            ablated = self.ablated(name)
            try:
                ablated._check_heads()
            except ValueError as error:
                raise ValueError(f"ablations.{name}: {error}") from None
            if ablated == self.model_copy(update={"ablations": {}}):
                raise ValueError(f"ablations.{name}: changes nothing; name keys of heads or pausing with other values")

    def _idle(self) -> Iterator[Idle]:
        """The keys that are set and do nothing."""
        training, recipes = self.training, self.training.recipes
        for name in ("decoder", "heads", "training", "evaluation"):
            yield from idle_keys(getattr(self, name), name)
        for backbone in self.backbones:
            yield from idle_keys(backbone, f"backbones.{backbone.name}")
            if backbone.control_for is not None:
                reason = "for a control, which is trained plainly; remove control_for"
                yield from set_keys(backbone, f"backbones.{backbone.name}", ["heads"], reason)
        if training.shared_phase is None:
            reason = "without a shared phase; describe training.shared_phase"
            yield from set_keys(training, "training", ["shared_heads"], reason)
        if recipes and not set(WITH_HEADS) & set(recipes):
            reason = f"without a recipe that trains heads; add {' or '.join(WITH_HEADS)} to training.recipes"
            yield from set_keys(self.heads, "heads", ["weight", "gradient"], reason)
            yield from set_keys(training, "training", ["shared_heads"], reason)
        sections = {"paumer": "pausing", "token-exit": "exiting", "merge": "merging", "resize": "resizing"}
        of_recipes = [(recipe, f"training.{section}") for recipe, section in sections.items()]
        for recipe, path in [*of_recipes, *[("paumer", "figures")] * bool(recipes)]:
            if recipe not in recipes:
                section = attrgetter(path)(self)
                reason = f"without recipe {recipe}; add it to training.recipes"
                yield from set_keys(section, path, list(type(section).model_fields), reason)
        if not self.comparison.methods:
            reason = "without methods; add comparison.methods"
            yield from set_keys(self.comparison, "comparison", ["speedups", "candidates", "transferred"], reason)
        if not self.robustness.sweep:
            yield from set_keys(self.robustness, "robustness", ["images"], "without operating points; add a sweep")
        if self.data.dataset != "scenes":
            reason = "for a dataset that is not drawn; use scenes"
            yield from set_keys(self.data.scenes, "data.scenes", list(Scenes.model_fields), reason)
        # Of an ablation what it names itself; what it makes idle by changing something else is what it ablates.
        for name, change in self.ablations.items():
            ablated = self.ablated(name)
            for section, changed, given in (
                (ablated.heads, "heads", change.heads),
                (ablated.training.pausing, "pausing", change.pausing),
            ):
                for key, reason in idle_keys(section, f"ablations.{name}.{changed}"):
                    if key.rpartition(".")[2] in given:
                        yield key, reason

    def _check_heads(self) -> None:
        """Refuse operating points that read a head that is not there."""
        shown = self.figures.pause_schedule
        wanted = [("figures.pause_schedule", str(shown), block) for block in shown.blocks]
        wanted += [(key, point.schedule, block) for key, point in self._points() for block in point.head_blocks]
        wanted += [(key, str(schedule), block) for key, schedule in self._trained() for block in schedule.blocks]
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
        points: list[tuple[str, OperatingPoint | Schedule]] = [*self._points(), *self._trained()]
        if "merge" in self.training.recipes:
            points += [("training.merging.schedules", point) for point in self.training.merging.schedules]
        key = f"backbones.{backbone.name}"
        origin = f"{key}." if backbone.heads else ""
        try:
            check_heads((backbone.heads or self.heads).blocks, depth)
            for name, point in points:
                origin = f"{name}: "
                point.check_depth(depth)
        except PaumerError as error:
            raise PaumerError(f"{origin}{error}, or change depth or control_for of {key}") from None

    def _trained(self) -> list[tuple[str, Schedule]]:
        """The schedules that recipes always train by, where they draw none, each with its key."""
        training, found = self.training, []
        for recipe, name, leaving in (
            ("paumer", "pausing", training.pausing),
            ("token-exit", "exiting", training.exiting),
        ):
            if recipe in training.recipes and leaving.schedule is not None:
                found.append((f"training.{name}.schedule", leaving.schedule))
        return found

    def _points(self) -> list[tuple[str, OperatingPoint]]:
        """The operating points of all sweeps, each with the key that names it."""
        return [
            (f"{key}.{number}.schedules", point)
            for key, sweep in self._sweeps().items()
            for number, item in enumerate(sweep)
            for point in item.points()
        ]

    def _sweeps(self) -> dict[str, Sweep]:
        """The sweeps of operating points by their keys."""
        return {"sweep": self.sweep, "robustness.sweep": self.robustness.sweep}

    def _methods(self) -> dict[str, Sequence[Method]]:
        """What is run on networks of several recipes, by key."""
        return {**self._sweeps(), "comparison.methods": self.comparison.methods}
