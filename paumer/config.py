"""The typed description of an experiment: the one source of its keys, defaults, checks and documentation.

Imports no torch: the workflow plans with it.
"""

from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from paumer.errors import PaumerError
from paumer.hints import explain
from paumer.schedule import Schedule

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
Size = tuple[int, int]


class Section(BaseModel):
    """A part of the configuration. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Scenes(Section):
    """The procedural street scenes that the default experiment draws."""

    train_images: int = Field(2048, ge=1, description="Training images to draw.")
    val_images: int = Field(256, ge=1, description="Validation images to draw.")
    height: int = Field(96, ge=32, description="Image height in pixels.")
    width: int = Field(192, ge=32, description="Image width in pixels.")
    seed: int = Field(0, ge=0, description="Same seed, same bytes.")


class Data(Section):
    """Which images to train and evaluate on."""

    dataset: Literal["scenes", "cityscapes", "camvid"] = Field("scenes", description="Dataset.")
    folder: str | None = Field(
        None,
        description="Folder of the dataset; without it the environment variable PAUMER_DATA. `scenes` are drawn there "
        "(without it, under the results).",
    )
    train_split: str = Field("train", description="Split to train on.")
    eval_split: str = Field("val", description="Split to evaluate and measure on.")
    scenes: Scenes = Field(default_factory=Scenes, description="Only for `dataset: scenes`.")


class Backbone(Section):
    """A plain vision transformer from timm."""

    name: str = Field(pattern=NAME, description="Its name in files and tables.")
    architecture: str = Field("vit_tiny_patch16_384", description="timm's name of the architecture.")
    options: dict[str, int | float | bool | str] = Field(
        default_factory=dict, description="Passed to `timm.create_model` (`patch_size`, `embed_dim`, `depth`, ...)."
    )
    weights: str = Field("none", description="`none` (from scratch), `hub` (timm's pretrained weights) or a file.")
    positions: Literal["learned", "sincos"] = Field(
        "learned", description="How position embeddings start; `sincos` helps a network trained from scratch."
    )
    normalization: Literal["imagenet", "half"] = Field(
        "imagenet", description="Input statistics: ImageNet's, or mean = std = 0.5 as AugReg networks expect."
    )

    @field_validator("options", mode="before")
    @classmethod
    def _numbers(cls, options: Any) -> Any:
        """Read numbers that arrive as text, as Snakemake's `--config` hands them over."""
        if not isinstance(options, dict):
            return options
        return {key: yaml.safe_load(value) if isinstance(value, str) else value for key, value in options.items()}


class Decoder(Section):
    """From tokens to class logits."""

    name: Literal["linear", "mask_transformer"] = Field("linear", description="Decoder, as Segmenter defines it.")
    layers: int = Field(2, ge=1, description="Blocks of the mask transformer.")
    sub_patch: int = Field(
        1,
        ge=1,
        le=8,
        description="The linear decoder predicts sub_patch x sub_patch cells a patch (1: as Segmenter).",
    )


class Heads(Section):
    """Auxiliary heads, which predict classes from intermediate tokens."""

    blocks: tuple[int, ...] = Field(
        (3, 6, 9), min_length=1, description="A head reads the tokens after each of these blocks."
    )
    weight: float = Field(0.4, ge=0, description="Weight of the mean auxiliary loss beside the final loss.")

    @field_validator("blocks")
    @classmethod
    def _rising(cls, blocks: tuple[int, ...]) -> tuple[int, ...]:
        if any(block < 1 for block in blocks) or list(blocks) != sorted(set(blocks)):
            raise ValueError("must be rising block numbers, counted from 1")
        return blocks


class Phase(Section):
    """One stretch of training with its own learning-rate schedule."""

    epochs: float = Field(30, gt=0, description="Passes over the training split.")
    learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate of the backbone (AdamW).")
    head_learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate of decoder and heads (AdamW).")
    matrix_learning_rate: float = Field(
        3e-3, gt=0, description="Peak learning rate of the block matrices with `optimizer: muon`."
    )
    decay: Literal["poly", "cosine"] = Field("poly", description="Shape of the decay: power 0.9, or half a cosine.")
    warmup: float = Field(0.02, ge=0, lt=1, description="Share of the steps with rising learning rate.")


class Augmentation(Section):
    """Random changes of the training images."""

    scale: tuple[float, float] = Field((0.5, 2.0), description="Range of the random resize.")
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


class Pausing(Section):
    """How recipe `paumer` draws the schedule of each training step. Our choice: the paper's was not available."""

    none: float = Field(0.25, ge=0, le=1, description="Probability of a step without pausing.")
    fraction: tuple[float, float] = Field(
        (0.2, 0.8), description="Range of the total fraction paused, drawn evenly and split over the locations."
    )
    locations: int = Field(3, ge=1, description="Locations are one to this many, each count as likely.")

    @field_validator("fraction")
    @classmethod
    def _range(cls, fraction: tuple[float, float]) -> tuple[float, float]:
        if not 0 < fraction[0] <= fraction[1] < 1:
            raise ValueError("must be [low, high] with 0 < low <= high < 1")
        return fraction


RecipeName = Literal["dense", "multi-exit", "paumer"]


class TrainingOptions(Section):
    """Settings that all runs share."""

    crop: Size = Field((320, 320), description="Height and width of the training crops.")
    batch: int = Field(8, ge=1, description="Crops per step.")
    optimizer: Literal["adamw", "muon"] = Field(
        "adamw", description="`muon` steps the block matrices with Muon, everything else with AdamW."
    )
    class_balance: float = Field(
        0.0, ge=0, le=1, description="A class weighs frequency ** -class_balance in the loss; 0: every pixel the same."
    )
    weight_decay: float = Field(0.05, ge=0, description="Decoupled weight decay of matrices.")
    drop_path: float = Field(0.0, ge=0, lt=1, description="Stochastic depth rate.")
    clip: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Autocast type; `auto` takes bfloat16 where the device is fast at it."
    )
    augmentation: Augmentation = Field(default_factory=Augmentation, description="Random changes of the images.")
    workers: int = Field(1, ge=0, description="Processes that load images.")
    checkpoint_minutes: float = Field(2.0, ge=0, description="Minutes between checkpoints; 0: after every step.")

    @field_validator("crop")
    @classmethod
    def _positive(cls, crop: Size) -> Size:
        return _positive_size(crop)


class Training(Section):
    """How networks are trained. Every recipe gets the same number of steps."""

    recipes: tuple[RecipeName, ...] = Field(("dense", "multi-exit", "paumer"), description="Recipes to train.")
    shared_phase: Phase | None = Field(
        None, description="Plain training once per backbone and seed; every recipe starts from its result."
    )
    recipe_phase: Phase = Field(default_factory=lambda: Phase(), description="Training of each recipe.")
    pausing: Pausing = Field(default_factory=Pausing, description="Schedules drawn by recipe `paumer`.")
    options: TrainingOptions = Field(default_factory=TrainingOptions, description="What all runs share.")


class Sweep(Section):
    """The operating points at which trained networks are evaluated and measured."""

    schedules: tuple[str, ...] = Field(("3:0.4",), description="Pausing schedules.")
    criteria: tuple[Literal["entropy", "confidence", "margin", "random"], ...] = Field(
        ("entropy", "random"), description="Scores that choose the patches to pause."
    )
    exits: tuple[int, ...] = Field((), description="Fixed early exits: the whole image leaves after this block.")

    @field_validator("schedules")
    @classmethod
    def _parse(cls, schedules: tuple[str, ...]) -> tuple[str, ...]:
        try:
            parsed = [str(Schedule.parse(text)) for text in schedules]
        except PaumerError as error:
            raise ValueError(str(error)) from None
        if "dense" in parsed:
            raise ValueError("the empty schedule is dense, which every run evaluates anyway; remove it")
        return tuple(dict.fromkeys(parsed))


class Evaluation(Section):
    """How accuracy is measured."""

    inference: Literal["whole", "sliding"] = Field("whole", description="Whole images, or sliding windows.")
    window: Size = Field((768, 768), description="Height and width of sliding windows.")
    stride: Size = Field((512, 512), description="Steps between sliding windows.")
    batch: int = Field(8, ge=1, description="Images (or windows) per forward pass.")
    precision: Literal["auto", "float32", "bfloat16"] = Field("float32", description="Autocast type.")

    @field_validator("window", "stride")
    @classmethod
    def _positive(cls, size: Size) -> Size:
        return _positive_size(size)

    @model_validator(mode="after")
    def _covers(self) -> Self:
        if any(stride > window for stride, window in zip(self.stride, self.window, strict=True)):
            raise ValueError("stride is larger than window, which leaves gaps between windows; lower it")
        return self


class Throughput(Section):
    """How images/s are measured."""

    batches: tuple[int, ...] = Field((1, 4), description="Batch sizes.")
    dtypes: tuple[Literal["float32", "bfloat16"], ...] = Field(("float32",), description="Number types (autocast).")
    rounds: int = Field(15, ge=3, description="Rounds; each times every variant once, in random order.")
    block_seconds: float = Field(0.2, gt=0, description="Shortest time of one timed block.")

    @field_validator("batches")
    @classmethod
    def _positive(cls, batches: tuple[int, ...]) -> tuple[int, ...]:
        if any(batch < 1 for batch in batches):
            raise ValueError("batch sizes must be 1 or more")
        return batches


class Figures(Section):
    """What the report shows beside the tables."""

    pause_maps: int = Field(4, ge=0, description="Images shown with entropy and pause maps.")
    pause_schedule: str = Field("3:0.4", description="Schedule of the pause maps.")

    @field_validator("pause_schedule")
    @classmethod
    def _parse(cls, text: str) -> str:
        try:
            return str(Schedule.parse(text))
        except PaumerError as error:
            raise ValueError(str(error)) from None


class Experiment(Section):
    """A whole experiment: `config.yaml` and the files under `workflow/experiments` hold one each."""

    experiment: str = Field("scenes", pattern=NAME, description="Results go to `<results>/<experiment>`.")
    results: str = Field("results", description="Folder of all results.")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="One training run per recipe and seed.")
    device: str = Field("auto", description="`auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`, ...")
    data: Data = Field(default_factory=Data, description="Images.")
    backbones: tuple[Backbone, ...] = Field(min_length=1, description="Vision transformers.")
    decoder: Decoder = Field(default_factory=Decoder, description="Decoder.")
    heads: Heads = Field(default_factory=Heads, description="Auxiliary heads.")
    training: Training = Field(default_factory=Training, description="Training.")
    sweep: Sweep = Field(default_factory=Sweep, description="Operating points.")
    evaluation: Evaluation = Field(default_factory=Evaluation, description="Accuracy.")
    throughput: Throughput = Field(default_factory=Throughput, description="Images/s.")
    figures: Figures = Field(default_factory=Figures, description="Figures.")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        names = [backbone.name for backbone in self.backbones]
        if len(set(names)) != len(names):
            raise ValueError(f"backbones: names must differ, not {', '.join(names)}")
        readable = set(self.heads.blocks)
        for text in (*self.sweep.schedules, self.figures.pause_schedule):
            for block in Schedule.parse(text).blocks:
                if block not in readable:
                    raise ValueError(
                        f"schedule {text} pauses after block {block}, where no head is; add {block} to heads.blocks "
                        f"(now {list(self.heads.blocks)})"
                    )
        for block in self.sweep.exits:
            if block not in readable:
                raise ValueError(f"sweep.exits: no head after block {block}; add {block} to heads.blocks")
        if "dense" not in self.training.recipes:
            raise ValueError("training.recipes: `dense` is missing; every drop is counted from it")
        for backbone in self.backbones:
            depth = backbone.options.get("depth")
            if isinstance(depth, int):
                self.check_depth(depth)
        return self

    def check_depth(self, depth: int) -> None:
        """Refuse heads and schedules beyond the last of `depth` blocks.

        Raises:
            PaumerError: one of them lies there.
        """
        check_heads(self.heads.blocks, depth)
        for text in self.sweep.schedules:
            Schedule.parse(text).check_depth(depth)


def check_heads(blocks: tuple[int, ...], depth: int) -> None:
    """Refuse heads beyond the last block.

    Raises:
        PaumerError: a head would read tokens after a block that the network lacks.
    """
    for block in blocks:
        if block > depth:
            raise PaumerError(f"heads.blocks: no block {block} in a network of {depth} blocks; use 1 to {depth}")


def _positive_size(size: Size) -> Size:
    if min(size) < 1:
        raise ValueError("must be [height, width], both 1 or more")
    return size


def parse(model: type[Section], content: Any, origin: str) -> Any:
    """Validate `content` as `model`.

    Raises:
        PaumerError: one line that names `origin`, the key at fault and what is wrong with it.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise PaumerError(explain(error, model, origin)) from None
    except PaumerError as error:
        raise PaumerError(f"{origin}: {error}") from None
