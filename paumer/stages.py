"""What each stage needs to know of an experiment, and nothing more.

A rule passes its stage's settings on the command line, so only edits that matter to a stage run it again. Imports no
torch: the workflow plans with it.
"""

from typing import Literal, Self

from pydantic import Field

from paumer.config import (
    Backbone,
    Decoder,
    Evaluation,
    Experiment,
    Figures,
    Heads,
    Pausing,
    Phase,
    Section,
    Size,
    Sweep,
    Throughput,
    TrainingOptions,
)

Recipe = Literal["shared", "dense", "multi-exit", "paumer"]


class NetworkSettings(Section):
    """All that a network's shape depends on; stored beside its weights."""

    backbone: Backbone
    decoder: Decoder
    heads: Heads | None
    classes: int
    image_size: Size
    drop_path: float = 0.0


class TrainSettings(Section):
    """One training run: a recipe on a backbone with a seed. Recipe `shared` is the phase all others start from."""

    recipe: Recipe = "dense"
    seed: int = Field(0, ge=0)
    split: str = "train"
    device: str = "auto"
    backbone: Backbone
    decoder: Decoder = Field(default_factory=Decoder)
    heads: Heads | None = None
    pausing: Pausing | None = None
    phase: Phase = Field(default_factory=lambda: Phase())
    options: TrainingOptions = Field(default_factory=TrainingOptions)

    @classmethod
    def of(cls, experiment: Experiment, backbone: str, recipe: Recipe, seed: int) -> Self:
        """Pick them: heads only for recipes that train them, pausing only for `paumer`."""
        training = experiment.training
        shared = training.shared_phase if recipe == "shared" else None
        return cls(
            recipe=recipe,
            seed=seed,
            split=experiment.data.train_split,
            device=experiment.device,
            backbone=next(item for item in experiment.backbones if item.name == backbone),
            decoder=experiment.decoder,
            heads=None if recipe in ("shared", "dense") else experiment.heads,
            pausing=training.pausing if recipe == "paumer" else None,
            phase=shared or training.recipe_phase,
            options=training.options,
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
            backbones=experiment.backbones,
            decoder=experiment.decoder,
        )


class EvaluateSettings(Section):
    """What the accuracy of a run depends on."""

    experiment: str = "scenes"
    split: str = "val"
    device: str = "auto"
    sweep: Sweep = Field(default_factory=Sweep)
    evaluation: Evaluation = Field(default_factory=Evaluation)

    @classmethod
    def of(cls, experiment: Experiment) -> Self:
        """Pick them."""
        return cls(
            experiment=experiment.experiment,
            split=experiment.data.eval_split,
            device=experiment.device,
            sweep=experiment.sweep,
            evaluation=experiment.evaluation,
        )


class CostSettings(Section):
    """What GMAC and images/s depend on; `throughput` only matters to images/s."""

    split: str = "val"
    device: str = "auto"
    backbones: tuple[Backbone, ...]
    decoder: Decoder = Field(default_factory=Decoder)
    heads: Heads = Field(default_factory=Heads)
    sweep: Sweep = Field(default_factory=Sweep)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    throughput: Throughput | None = None

    @classmethod
    def of(cls, experiment: Experiment, timed: bool) -> Self:
        """Pick them; `timed` for images/s."""
        return cls(
            split=experiment.data.eval_split,
            device=experiment.device if timed else "cpu",
            backbones=experiment.backbones,
            decoder=experiment.decoder,
            heads=experiment.heads,
            sweep=experiment.sweep,
            evaluation=experiment.evaluation,
            throughput=experiment.throughput if timed else None,
        )


class MapsSettings(Section):
    """What the pause maps depend on."""

    split: str = "val"
    device: str = "auto"
    figures: Figures = Field(default_factory=Figures)

    @classmethod
    def of(cls, experiment: Experiment) -> Self:
        """Pick them."""
        return cls(split=experiment.data.eval_split, device=experiment.device, figures=experiment.figures)
