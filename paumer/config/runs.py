"""What each stage needs to know of an experiment, and nothing more.

A rule passes its stage's settings on the command line, so only edits that matter to a stage run it again. Imports no
torch: the workflow plans with it.
"""

from typing import Literal, Self, cast

from pydantic import Field

from paumer.config import (
    Backbone,
    Decoder,
    Evaluation,
    Experiment,
    Figures,
    Heads,
    Merging,
    Pausing,
    Phase,
    Resizing,
    Section,
    Size,
    Sweep,
    Throughput,
    TrainingOptions,
    sweep_points,
)
from paumer.strategies.criteria import CONTROLS, CRITERIA
from paumer.strategies.notation import Schedule
from paumer.strategies.registry import RECIPES, WITH_HEADS, OperatingPoint, RecipeName, pauses_last

Recipe = Literal["shared"] | RecipeName
ABLATION = "ablation-"  # before the name of an ablation, in the place of a recipe: the folder of its runs


class TrainSettings(Section):
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
    merging: Merging | None = None
    resizing: Resizing | None = None
    phase: Phase = Field(default_factory=lambda: Phase())
    options: TrainingOptions = Field(default_factory=TrainingOptions)

    @classmethod
    def of(cls, experiment: Experiment, backbone: str, name: str, seed: int) -> Self:
        """Pick them: heads, pausing, merging and resizing only for the recipes that train with them.

        Args:
            experiment: where from.
            backbone: its name.
            name: a recipe, or an ablation: `ablation-NAME`.
            seed: of all randomness.
        """
        experiment, recipe, variant = _variant(experiment, name)
        training, trained = experiment.training, experiment.backbone(backbone)
        shared = training.shared_phase if recipe == "shared" else None
        heads = experiment.heads_of(trained) if recipe in WITH_HEADS else None
        studied = trained.control_for is None
        if shared and studied and training.shared_heads and set(WITH_HEADS) & set(training.recipes):
            heads = experiment.heads_of(trained).model_copy(update={"gradient": 0.0})
        return cls(
            recipe=recipe,
            variant=variant,
            seed=seed,
            split=experiment.data.train_split,
            device=experiment.device,
            backbone=trained.model_copy(update={"decoder": None, "heads": None}),  # they stand beside it
            decoder=experiment.decoder_of(trained),
            heads=heads,
            pausing=training.pausing if recipe == "paumer" else None,
            merging=training.merging if recipe == "merge" else None,
            resizing=training.resizing if recipe == "resize" else None,
            phase=shared or training.recipe_phase,
            options=training.options,
        )


def _variant(experiment: Experiment, name: str) -> tuple[Experiment, Recipe, str]:
    """The experiment as a run sees it, the run's recipe, and the name of its ablation if it is one."""
    if name.startswith(ABLATION):
        variant = name.removeprefix(ABLATION)
        return experiment.ablated(variant), "paumer", variant
    return experiment, cast(Recipe, name), ""


def _paused(sweep: Sweep) -> Sweep:
    """Of a sweep the pausing, alone and last of a composition, by the first of its informed criteria."""
    informed = [(item, [name for name in item.criteria if name not in CONTROLS][:1]) for item in sweep]
    return tuple(
        item.model_copy(update={"criteria": tuple(names)})
        for item, names in informed
        if pauses_last(item.strategy) and (names or not item.criteria)
    )


class BoundsSettings(Section):
    """What the bounds of an experiment depend on."""

    experiment: str = "scenes"
    train_split: str = "train"
    eval_split: str = "val"
    backbones: tuple[Backbone, ...]
    decoder: Decoder = Field(default_factory=Decoder)

    @classmethod
    def of(cls, experiment: Experiment) -> Self:
        """Pick them."""
        return cls(
            experiment=experiment.experiment,
            train_split=experiment.data.train_split,
            eval_split=experiment.data.eval_split,
            backbones=tuple(experiment.main_backbones),
            decoder=experiment.decoder,
        )


class EvaluateSettings(Section):
    """What the accuracy of a run depends on."""

    experiment: str = "scenes"
    split: str = "val"
    device: str = "auto"
    sweep: Sweep = ()
    evaluation: Evaluation = Field(default_factory=Evaluation)

    @classmethod
    def of(cls, experiment: Experiment, backbone: str, name: str) -> Self:
        """Pick them; of the sweep what runs on this recipe. Controls run dense alone, ablations only pause.

        Args:
            experiment: where from.
            backbone: its name.
            name: a recipe, or an ablation: `ablation-NAME`.
        """
        experiment, recipe, variant = _variant(experiment, name)
        control = experiment.backbone(backbone).control_for is not None
        sweep = tuple(item for item in experiment.sweep if item.runs_on(recipe))
        return cls(
            experiment=experiment.experiment,
            split=experiment.data.eval_split,
            device=experiment.device,
            sweep=() if control else _paused(sweep) if variant else sweep,
            evaluation=experiment.evaluation,
        )


class SemanticsSettings(Section):
    """What the relation of criteria to the ground truth depends on.

    Attributes:
        fractions: shares of the patches that pause, rising.
        schedule: at which it is seen who loses what pausing costs.
    """

    split: str = "val"
    device: str = "auto"
    fractions: tuple[float, ...] = (0.2, 0.4, 0.6)
    schedule: str = "3:0.4"

    @classmethod
    def of(cls, experiment: Experiment) -> Self:
        """Pick them; the fractions are those of all schedules that pause at one location, if there are any."""
        points = [point for point in sweep_points(experiment.sweep) if point.strategy == "pause"]
        every = [part.parameters for point in points for part in point.parts]
        schedules = [parameters for parameters in every if isinstance(parameters, Schedule)]
        fractions = {schedule.paused for schedule in schedules if len(schedule.locations) == 1}
        chosen = {"fractions": tuple(sorted(fractions))} if fractions else {}
        shown = experiment.figures.pause_schedule
        return cls(split=experiment.data.eval_split, device=experiment.device, schedule=shown, **chosen)


class CostSettings(Section):
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
        """Pick them; `timed` for images/s."""
        return cls(
            split=experiment.data.eval_split,
            device=experiment.device if timed else "cpu",
            backbones=experiment.backbones,
            decoder=experiment.decoder,
            heads=experiment.heads,
            recipes=experiment.training.recipes,
            sweep=experiment.sweep,
            evaluation=experiment.evaluation,
            throughput=experiment.throughput if timed else Throughput(sizes=experiment.throughput.sizes),
        )

    def decoder_of(self, backbone: Backbone) -> Decoder:
        """The decoder of a backbone."""
        return backbone.decoder or self.decoder

    def heads_of(self, backbone: Backbone) -> Heads | None:
        """The auxiliary heads of a backbone: a control has none."""
        return None if backbone.control_for else backbone.heads or self.heads

    def controls(self, backbone: Backbone) -> list[Backbone]:
        """The smaller backbones that a studied one is compared with."""
        return [item for item in self.backbones if item.control_for == backbone.name]

    def sizes_of(self, backbone: Backbone) -> tuple[Size, ...]:
        """The sizes of its input that are named; none where they follow from the data."""
        return self.throughput.sizes.get(backbone.name, ())

    @property
    def studied(self) -> list[Backbone]:
        """The backbones without the controls."""
        return [item for item in self.backbones if item.control_for is None]

    def fixed_points(self) -> list[OperatingPoint]:
        """Dense, and every operating point whose cost does not depend on the image; the criterion does not change it.

        Of several criteria the dearest is taken; `random`, which needs no head, and `oracle` stand back.
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


class MapsSettings(Section):
    """What the pause maps depend on.

    Attributes:
        schedules: those of the viewer.
    """

    split: str = "val"
    device: str = "auto"
    figures: Figures = Field(default_factory=Figures)
    schedules: tuple[str, ...] = ()

    @classmethod
    def of(cls, experiment: Experiment) -> Self:
        """Pick them; the schedules are those at which the sweep pauses the same share of every image."""
        points = [point for point in sweep_points(experiment.sweep) if point.strategy == "pause"]
        plain = dict.fromkeys(
            point.schedule for point in points for part in point.parts if isinstance(part.parameters, Schedule)
        )
        settings = {"device": experiment.device, "figures": experiment.figures, "schedules": tuple(plain)}
        return cls(split=experiment.data.eval_split, **settings)
