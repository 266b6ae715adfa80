"""The configuration of training."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from paumer.config.base import Different, PositiveSize, Section, written
from paumer.config.idle import OnlyWith, Without
from paumer.config.points import ScheduleOf, ScheduleText, read_schedule_of
from paumer.strategies.declared import RecipeName
from paumer.strategies.pause import Rejoining
from paumer.strategies.registry import OperatingPoint


class Phase(Section):
    """One stretch of training with its own optimiser and learning-rate schedule."""

    epochs: float = Field(30, gt=0, description="Passes over the training split.")
    optimizer: Literal["adamw", "muon", "sgd"] = Field(
        "adamw",
        description="`muon` steps the block matrices with Muon, everything else with AdamW; `sgd` has Nesterov's "
        "momentum, as timm's `sgd`, by which Segmenter was trained.",
    )
    momentum: Annotated[float, OnlyWith("optimizer", "sgd")] = Field(
        0.9, ge=0, lt=1, description="Of `optimizer: sgd`; 0: none."
    )
    weight_decay: float = Field(0.05, ge=0, description="Weight decay of matrices; decoupled, except for `sgd`.")
    clip: float = Field(1.0, ge=0, description="Gradients are clipped to this norm; 0: they are not.")
    learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate of the backbone.")
    head_learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate of decoder and heads.")
    matrix_learning_rate: Annotated[float, OnlyWith("optimizer", "muon")] = Field(
        3e-3, gt=0, description="Peak learning rate of the block matrices with `optimizer: muon`."
    )
    decay: Literal["poly", "cosine"] = Field("poly", description="Shape of the decay: power 0.9, or half a cosine.")
    final: float = Field(
        0.0, ge=0, le=1, description="Share of the peak where the decay ends; above 0 where another phase goes on."
    )
    warmup: float = Field(0.02, ge=0, lt=1, description="Share of the steps with rising learning rate.")


class Augmentation(Section):
    """Random changes of the training images."""

    scale: tuple[float, float] = Field((0.5, 2.0), description="Range of the random resize.")
    short_side: int | None = Field(
        None, ge=1, description="Shorter side in pixels that scale 1 stands for; without it every image's own."
    )
    flip: float = Field(0.5, ge=0, le=1, description="Probability of a horizontal flip.")
    colour: float = Field(0.5, ge=0, le=1, description="Strength of the photometric distortion.")
    largest_class: float = Field(
        0.75, gt=0, le=1, description="A crop is drawn anew (10 times at most) while one class fills more than this."
    )

    @field_validator("scale")
    @classmethod
    def _range(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not 0 < scale[0] <= scale[1]:
            raise ValueError("must be [low, high] with 0 < low <= high")
        return scale


class Leaving(Section):
    """How a recipe draws the schedule of each training step, by which patches leave the encoder. Our choice."""

    none: float = Field(0.25, ge=0, le=1, description="Probability of a step in which all patches run.")
    fraction: Annotated[tuple[float, float], Without("schedule")] = Field(
        (0.2, 0.8), description="Range of the total fraction that leaves, drawn evenly and split over the locations."
    )
    locations: Annotated[int, Without("schedule")] = Field(
        3, ge=1, description="Locations are one to this many, each count as likely."
    )
    schedule: ScheduleText | None = Field(
        None,
        description="Taken in the place of drawn ones: a network for one budget, with `none: 0` in every step.",
    )
    after: float = Field(
        0.0, ge=0, lt=1, description="Share of the steps before patches leave, in which heads learn to choose."
    )

    @field_validator("fraction")
    @classmethod
    def _range(cls, fraction: tuple[float, float]) -> tuple[float, float]:
        if not 0 < fraction[0] <= fraction[1] < 1:
            raise ValueError("must be [low, high] with 0 < low <= high < 1")
        return fraction


class Pausing(Leaving):
    """How recipe `paumer` pauses patches in each training step."""

    criterion: Literal["entropy", "confidence", "spaced", "smoothed"] = Field(
        "entropy", description="Criterion by which patches pause."
    )
    rejoin: int | None = Field(
        None, ge=3, description="Block in which paused patches run again; without it they wait for the decoder."
    )

    @model_validator(mode="after")
    def _skips(self) -> Self:
        if self.schedule is not None and self.rejoin is not None:
            Rejoining(self.schedule, self.rejoin)
        return self


class Exiting(Leaving):
    """How recipe `token-exit` lets patches exit in each training step."""

    keep: int = Field(5, ge=1, description="How many patches of every predicted class never exit.")


class Ablation(Section):
    """Recipe `paumer` with something changed, to see what that is worth."""

    heads: dict[str, Any] = Field(default_factory=dict, description="What replaces keys of `heads`.")
    pausing: dict[str, Any] = Field(default_factory=dict, description="What replaces keys of `training.pausing`.")


def _read_merging(schedule: object) -> OperatingPoint:
    point = read_schedule_of("local-merge", schedule)
    if point.varies:
        raise ValueError("training needs batches of one shape; write fractions (1:0.3), not thresholds (1@0.9)")
    return point


class Merging(Section):
    """How recipe `merge` draws what each training step merges. Our choice."""

    none: float = Field(0.25, ge=0, le=1, description="Probability of a step without merging.")
    schedules: tuple[Annotated[ScheduleOf, BeforeValidator(_read_merging)], ...] = written(
        ("1:0.2+6:0.1", "1:0.3+6:0.2", "1:0.45+6:0.15"),
        min_length=1,
        description="Schedules of strategy `local-merge`, each as likely as the others.",
    )


class Resizing(Section):
    """How recipe `resize` draws the input scale of each training step. Our choice."""

    scales: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (1.0, 0.75, 0.5), min_length=1, description="Scales of height and width, each as likely as the others."
    )


# Options that say how a run is executed, not what it computes: it may go on under others where it stopped.
EXECUTION = ("device_batch", "compile", "workers", "cache", "tensorboard", "checkpoint_minutes")


class TrainingOptions(Section):
    """Settings that all runs share."""

    crop: PositiveSize = Field((320, 320), description="Height and width of the training crops.")
    batch: int = Field(8, ge=1, description="Crops per step, those of all devices and passes together.")
    device_batch: int | None = Field(
        None,
        ge=1,
        description="Crops that fit on one device at once: where its share of the batch is larger, it takes several "
        "passes, whose gradients add up. Without it one pass.",
    )
    class_balance: float = Field(
        0.0, ge=0, le=1, description="A class weighs frequency ** -class_balance in the loss; 0: every pixel the same."
    )
    drop_path: float = Field(0.0, ge=0, lt=1, description="Stochastic depth rate.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Autocast type; `auto` takes bfloat16 where the device is fast at it."
    )
    compile: bool = Field(False, description="Compile the encoder's blocks with torch.compile.")
    augmentation: Augmentation = Field(default_factory=Augmentation, description="Random changes of the images.")
    workers: int = Field(1, ge=0, description="Processes that load images, for each device.")
    cache: str | None = Field(
        None,
        description="Folder of this machine that keeps images decoded, on a fast disk or in memory (`/dev/shm/...`): "
        "height x width x 4 bytes each. Without it they are decoded anew in every epoch.",
    )
    tensorboard: bool = Field(
        False, description="Write the log as TensorBoard events too, in folder `tensorboard` beside train.csv."
    )
    checkpoint_minutes: float = Field(2.0, ge=0, description="Minutes between checkpoints; 0: after every step.")


class Training(Section):
    """How networks are trained. Every recipe gets the same number of steps."""

    recipes: Annotated[tuple[RecipeName, ...], Different] = Field(
        ("dense", "multi-exit", "paumer"),
        description="Recipes to train; none at all where only GMAC and images/s are measured.",
    )
    shared_phase: Phase | None = Field(
        None, description="Plain training once per backbone and seed; every recipe starts from its result."
    )
    shared_heads: bool = Field(
        False,
        description="The shared phase trains the heads too, on features that get no gradient from them: the network "
        "comes out as without.",
    )
    recipe_phase: Phase = Field(default_factory=lambda: Phase(), description="Training of each recipe.")
    pausing: Pausing = Field(default_factory=Pausing, description="How recipe `paumer` pauses.")
    exiting: Exiting = Field(default_factory=Exiting, description="How patches exit in recipe `token-exit`.")
    merging: Merging = Field(default_factory=Merging, description="Schedules drawn by recipe `merge`.")
    resizing: Resizing = Field(default_factory=Resizing, description="Input scales drawn by recipe `resize`.")
    options: TrainingOptions = Field(default_factory=TrainingOptions, description="What all runs share.")
    devices: int = Field(
        1, ge=1, description="GPUs of one machine that each run trains on together; without a GPU, as many processes."
    )

    @model_validator(mode="after")
    def _even(self) -> Self:
        if self.options.batch % self.devices:
            raise ValueError(
                f"options.batch: {self.options.batch} crops cannot be shared evenly by {self.devices} devices; use a "
                f"multiple of {self.devices}"
            )
        return self
