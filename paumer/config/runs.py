"""Settings of each stage: the part of an experiment that it depends on.

A rule passes them on the command line, so that an edit runs again only the stages that it concerns. Imports no torch:
the workflow plans with it.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Literal, Self, cast

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from paumer.config.base import Section, Size, written
from paumer.config.experiment import Experiment
from paumer.config.measuring import Comparison, Evaluation, Figures, Method, Robustness, Sweep, Throughput, sweep_points
from paumer.config.network import Backbone, Decoder, Heads, NetworkChoice
from paumer.config.points import ScheduleText
from paumer.config.training import Exiting, Merging, Pausing, Phase, Resizing, TrainingOptions
from paumer.strategies.contract import CHAIN
from paumer.strategies.criteria import CONTROLS, CRITERIA
from paumer.strategies.declared import RECIPES, WITH_HEADS, RecipeName
from paumer.strategies.notation import Schedule
from paumer.strategies.registry import OperatingPoint, pauses_last
from paumer.system.plugins import VARIABLE, states, states_of

Recipe = Literal["shared"] | RecipeName
ABLATION = "ablation-"  # before the name of an ablation, in the place of a recipe: the folder of its runs

# Where an experiment has the value of a field, if not under the same name.
PLACES = {
    "split": "data.eval_split",
    "train_split": "data.train_split",
    "eval_split": "data.eval_split",
    "recipes": "training.recipes",
    "options": "training.options",
}


class StageSettings(Section):
    """Part of an experiment.

    Attributes:
        plugins: state of the plug-ins whose strategies and criteria it names, by their names: where one changes, the
            stage runs again, and where it is another one when the stage runs, that is refused.
    """

    plugins: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def _cut(cls, experiment: Experiment, **chosen: Any) -> Self:
        """Take every field from the experiment but those that are chosen."""
        taken = cls.model_fields.keys() - chosen.keys() - {"plugins"}
        cut = cls(**{name: attrgetter(PLACES.get(name, name))(experiment) for name in taken}, **chosen)
        strategies = [name.strip() for method in cut._methods() for name in method.strategy.split(CHAIN)]
        criteria = [name for method in cut._methods() for name in method.criteria]
        used = states_of("strategy", strategies) | states_of("criterion", criteria)
        return cut.model_copy(update={"plugins": used})

    def _methods(self) -> Sequence[Method]:
        """What it runs."""
        return getattr(self, "sweep", ())

    @field_validator("plugins")
    @classmethod
    def _as_planned(cls, plugins: dict[str, str]) -> dict[str, str]:
        known = states()
        for name, state in plugins.items():
            if name not in known:
                raise ValueError(f"{name}: not found here; install it where jobs run, or name its file in {VARIABLE}")
            if known[name] != state:
                raise ValueError(f"{name}: not the one that the workflow was planned with; start the workflow again")
        return plugins

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without plug-ins the text is what it was before there were any, so that no stage runs again."""
        return {name: value for name, value in dump(self).items() if name != "plugins" or value}


class TrainSettings(StageSettings):
    """One training run: a recipe on a backbone with a seed. Recipe `shared` is the phase all others start from."""

    recipe: Recipe = "dense"
    variant: str = Field("", description="Name of the ablation; empty where it is the recipe itself.")
    seed: int = Field(0, ge=0)
    split: str = "train"
    device: str = "auto"
    backbone: Backbone
    decoder: Decoder = Field(default_factory=Decoder)
    heads: Heads | None = None
    pausing: Pausing | None = None
    exiting: Exiting | None = None
    merging: Merging | None = None
    resizing: Resizing | None = None
    phase: Phase = Field(default_factory=lambda: Phase())
    options: TrainingOptions = Field(default_factory=TrainingOptions)

    @classmethod
    def of(cls, experiment: Experiment, backbone: str, name: str, seed: int) -> Self:
        """The settings of a run; heads, pausing and the like only for the recipes that train with them.

        Args:
            experiment: the experiment.
            backbone: name of the backbone.
            name: a recipe, or an ablation: `ablation-NAME`.
            seed: of all randomness.
        """
        experiment, recipe, variant = _variant(experiment, name)
        training, trained = experiment.training, experiment.backbone(backbone)
        phase, heads = training.recipe_phase, experiment.heads_of(trained)
        if recipe == "shared":
            phase = training.shared_phase or phase
            with_heads = training.shared_heads and set(WITH_HEADS) & set(training.recipes)
            heads = heads.model_copy(update={"gradient": 0.0}) if heads and with_heads else None
        return cls._cut(
            experiment,
            recipe=recipe,
            variant=variant,
            seed=seed,
            split=experiment.data.train_split,
            backbone=trained.model_copy(update={"decoder": None, "heads": None}),  # they are fields here
            decoder=experiment.decoder_of(trained),
            heads=heads if recipe in ("shared", *WITH_HEADS) else None,
            pausing=training.pausing if recipe == "paumer" else None,
            exiting=training.exiting if recipe == "token-exit" else None,
            merging=training.merging if recipe == "merge" else None,
            resizing=training.resizing if recipe == "resize" else None,
            phase=phase,
        )


def _variant(experiment: Experiment, name: str) -> tuple[Experiment, Recipe, str]:
    """The experiment as a run sees it, the run's recipe, and the name of its ablation if it is one."""
    if name.startswith(ABLATION):
        variant = name.removeprefix(ABLATION)
        return experiment.ablated(variant), "paumer", variant
    return experiment, cast(Recipe, name), ""


class BoundsSettings(StageSettings):
    """What the bounds of an experiment depend on."""

    experiment: str = "scenes"
    train_split: str = "train"
    eval_split: str = "val"
    backbones: tuple[Backbone, ...]
    decoder: Decoder = Field(default_factory=Decoder)

    @classmethod
    def of(cls, experiment: Experiment) -> Self:
        """The settings of an experiment; of its backbones the studied ones."""
        return cls._cut(experiment, backbones=tuple(experiment.main_backbones))


class EvaluateSettings(StageSettings):
    """What the accuracy of a run depends on."""

    experiment: str = "scenes"
    split: str = "val"
    device: str = "auto"
    sweep: Sweep = ()
    evaluation: Evaluation = Field(default_factory=Evaluation)

    @classmethod
    def of(cls, experiment: Experiment, backbone: str, name: str, select: bool = False) -> Self:
        """The settings of a run. Of the sweep what runs on its recipe; controls run dense alone, ablations only pause.

        Args:
            experiment: the experiment.
            backbone: name of the backbone.
            name: a recipe, or an ablation: `ablation-NAME`.
            select: on the split that operating points are chosen on, in the place of the one that is reported.
        """
        experiment, recipe, variant = _variant(experiment, name)
        sweep = tuple(item for item in experiment.sweep if item.runs_on(recipe))
        if experiment.backbone(backbone).control_for is not None:
            sweep = ()
        split = experiment.data.select_split if select else experiment.data.eval_split
        return cls._cut(experiment, sweep=_paused(sweep) if variant else sweep, split=split)


class RobustnessSettings(StageSettings):
    """What the accuracy of a run on corrupted images depends on."""

    experiment: str = "scenes"
    split: str = "val"
    device: str = "auto"
    evaluation: Evaluation = Field(default_factory=Evaluation)
    robustness: Robustness = Field(default_factory=Robustness)

    @classmethod
    def of(cls, experiment: Experiment) -> Self:
        """The settings of an experiment."""
        return cls._cut(experiment)

    def _methods(self) -> Sequence[Method]:
        return self.robustness.sweep


def _paused(sweep: Sweep) -> Sweep:
    """Of a sweep the pausing, alone and last of a composition, by the first of its informed criteria."""
    informed = [(item, [name for name in item.criteria if name not in CONTROLS][:1]) for item in sweep]
    return tuple(
        item.model_copy(update={"criteria": tuple(names)})
        for item, names in informed
        if pauses_last(item.strategy) and (names or not item.criteria)
    )


class SemanticsSettings(StageSettings):
    """What the relation of criteria to the ground truth depends on.

    Attributes:
        fractions: shares of the patches that pause, rising.
        schedule: for the classes that lose accuracy by pausing.
    """

    split: str = "val"
    device: str = "auto"
    fractions: tuple[float, ...] = (0.2, 0.4, 0.6)
    schedule: ScheduleText = written("3:0.4")

    @classmethod
    def of(cls, experiment: Experiment) -> Self:
        """The settings of an experiment; fractions are those of the schedules with one location, if there are any."""
        schedules = _pause_schedules(experiment)
        fractions = {schedule.paused for schedule in schedules if len(schedule.locations) == 1}
        chosen = tuple(sorted(fractions)) or cls.model_fields["fractions"].default
        return cls._cut(experiment, fractions=chosen, schedule=experiment.figures.pause_schedule)


class MapsSettings(StageSettings):
    """What the pause maps depend on.

    Attributes:
        schedules: those of the viewer.
    """

    split: str = "val"
    device: str = "auto"
    figures: Figures = Field(default_factory=Figures)
    schedules: tuple[ScheduleText, ...] = ()

    @classmethod
    def of(cls, experiment: Experiment) -> Self:
        """The settings of an experiment."""
        return cls._cut(experiment, schedules=tuple(_pause_schedules(experiment)))


def _pause_schedules(experiment: Experiment) -> list[Schedule]:
    """The schedules of strategy `pause` at which the same share of every image pauses, each once."""
    points = [point for point in sweep_points(experiment.sweep) if point.strategy == "pause"]
    values = [part.parameters for point in points for part in point.parts]
    return list(dict.fromkeys(schedule for schedule in values if isinstance(schedule, Schedule)))


class CostSettings(NetworkChoice, StageSettings):
    """What GMAC and images/s depend on; of `throughput` only the sizes matter to GMAC."""

    split: str = "val"
    device: str = "auto"
    backbones: tuple[Backbone, ...]
    decoder: Decoder = Field(default_factory=Decoder)
    heads: Heads = Field(default_factory=Heads)
    recipes: tuple[RecipeName, ...] = ("dense",)
    sweep: Sweep = ()
    evaluation: Evaluation = Field(default_factory=Evaluation)
    throughput: Throughput = Field(default_factory=Throughput)

    @classmethod
    def of(cls, experiment: Experiment, timed: bool) -> Self:
        """The settings of an experiment; `timed` for images/s."""
        if timed:
            return cls._cut(experiment)
        return cls._cut(experiment, device="cpu", throughput=Throughput(sizes=experiment.throughput.sizes))

    def sizes_of(self, backbone: Backbone) -> tuple[Size, ...]:
        """The sizes of its input that are named; none where they follow from the data."""
        return self.throughput.sizes.get(backbone.name, ())

    def fixed_points(self) -> list[OperatingPoint]:
        """Dense, and every operating point whose cost does not depend on the image; the criterion does not change it.

        Of several criteria the most expensive is taken; `random`, which needs no head, and `oracle` come last.
        """
        recipes = self.recipes or RECIPES
        points = [point for recipe in recipes for point in sweep_points(self.sweep, recipe)]
        points.sort(key=lambda point: -CRITERIA[point.criterion].cost if point.criterion else -1)
        chosen: dict[tuple[str, str], OperatingPoint] = {}
        for point in points:
            if not point.varies:
                chosen.setdefault((point.strategy, point.schedule), point)
        return list(chosen.values())

    def image_points(self, recipe: str) -> list[OperatingPoint]:
        """The operating points of a recipe whose cost depends on the image."""
        return [point for point in sweep_points(self.sweep, recipe) if point.varies]

    def timed_recipes(self) -> list[RecipeName]:
        """The recipes whose trained networks are timed: paumer, on which every strategy of fixed cost runs, and others
        only for costs that depend on the image."""
        return [recipe for recipe in self.recipes if recipe == "paumer" or self.image_points(recipe)]


class CandidateSettings(CostSettings):
    """What the parameters of methods at equal speed depend on."""

    comparison: Comparison = Field(default_factory=Comparison)

    def _methods(self) -> Sequence[Method]:
        return (*self.sweep, *self.comparison.methods)
