"""The configuration of operating points, and of what is measured at them."""

import csv
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from paumer.config.base import (
    Different,
    Positive,
    PositiveSize,
    Section,
    Size,
    parse,
    scaled_size,
    short_side_factor,
    written,
)
from paumer.config.idle import OnlyWith, first_idle, idle_keys
from paumer.config.points import ScheduleOf, ScheduleText, read_schedule_of
from paumer.strategies.declared import RecipeName
from paumer.strategies.notation import Schedule
from paumer.strategies.registry import OperatingPoint, check_criterion, check_strategy, families_of, recipes_of
from paumer.system.errors import PaumerError
from paumer.system.files import read_bytes

Mode = Literal["eager", "optimized", "compile", "cuda-graphs", "onnxruntime"]
MOST_LOCATIONS = 4  # of a schedule in the pause maps, one colour each


def _of_item(schedule: object, info: ValidationInfo) -> OperatingPoint:
    """Read a schedule of the item's strategy; any where the strategy itself is refused."""
    return read_schedule_of(info.data["strategy"], schedule) if "strategy" in info.data else OperatingPoint()


class Method(Section):
    """One strategy, by some criteria, on some networks."""

    strategy: str = Field(
        description="Strategy, or a composition such as `merge>pause`; docs/strategies.md lists them."
    )
    criteria: tuple[str, ...] = Field((), description="Criteria; without them the strategy's usual one.")
    recipes: tuple[RecipeName, ...] = Field((), description="Networks to run it on; without them the usual ones.")

    @field_validator("strategy")
    @classmethod
    def _known(cls, strategy: str) -> str:
        check_strategy(strategy)
        return strategy

    @field_validator("criteria")
    @classmethod
    def _taken(cls, criteria: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for criterion in criteria if "strategy" in info.data else ():
            check_criterion(info.data["strategy"], criterion)
        return criteria

    def runs_on(self, recipe: str) -> bool:
        """Whether a network of this recipe runs it."""
        return recipe in (self.recipes or recipes_of(self.strategy))


class SweepItem(Method):
    """One strategy at several operating points."""

    schedules: tuple[Annotated[ScheduleOf, BeforeValidator(_of_item)], ...] = Field(
        min_length=1, description="Its parameters, one operating point each; a composition joins them by `>` too."
    )

    def points(self) -> list[OperatingPoint]:
        """Its operating points."""
        if not self.criteria:
            return list(self.schedules)
        return [point.scored_by(criterion) for criterion in self.criteria for point in self.schedules]


Sweep = tuple[SweepItem, ...]


def sweep_points(sweep: Sequence[SweepItem], recipe: str | None = None) -> list[OperatingPoint]:
    """Dense and all operating points of a recipe (None: of all recipes), each once."""
    items = [item for item in sweep if recipe is None or item.runs_on(recipe)]
    return list(dict.fromkeys([OperatingPoint(), *(point for item in items for point in item.points())]))


def read_sweeps(paths: Sequence[Path], backbone: str | None = None) -> Sweep:
    """The operating points of several files, see `read_sweep`."""
    return tuple(item for path in paths for item in read_sweep(path, backbone))


def read_sweep(path: Path, backbone: str | None = None) -> Sweep:
    """The operating points of a file that stage `candidates` or `choose` wrote, as a sweep.

    Args:
        path: a CSV file with columns backbone, recipe, strategy, criterion and schedule.
        backbone: whose points; None: of all.

    Raises:
        PaumerError: the file is unusable.
    """
    names, content = ("recipe", "strategy", "criterion", "schedule"), read_bytes(path)
    try:
        reader = csv.DictReader(content.decode().splitlines())
        if missing := {"backbone", *names} - set(reader.fieldnames or ()):
            raise ValueError(f"lacks column {min(missing)}")
        keys = [tuple(row[name] for name in names) for row in reader if backbone in (None, row["backbone"])]
    except (ValueError, csv.Error) as error:
        raise PaumerError(f"{path}: {error}; run stages candidates and choose again") from None
    return tuple(
        parse(
            SweepItem,
            {
                "strategy": strategy,
                "schedules": [schedule],
                "criteria": [criterion] if criterion else [],
                "recipes": [recipe],
            },
            str(path),
        )
        for recipe, strategy, criterion, schedule in dict.fromkeys(keys)
    )


class Evaluation(Section):
    """How accuracy is measured."""

    inference: Literal["whole", "sliding"] = Field("whole", description="Whole images, or sliding windows.")
    window: Annotated[PositiveSize, OnlyWith("inference", "sliding")] = Field(
        (768, 768), description="Height and width of sliding windows."
    )
    stride: Annotated[PositiveSize, OnlyWith("inference", "sliding")] = Field(
        (512, 512), description="Steps between sliding windows."
    )
    short_side: int | None = Field(
        None,
        ge=1,
        description="Images are brought to this short side before (the long side has at most four times as much); "
        "predictions are compared at the size of the labels.",
    )
    scales: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Different] = Field(
        (1.0,), min_length=1, description="Sizes at which each image is seen; class probabilities are averaged."
    )
    flip: bool = Field(False, description="See each image mirrored, too, and average.")
    batch: int = Field(8, ge=1, description="Images (or windows) per forward pass.")
    precision: Literal["auto", "float32", "bfloat16"] = Field("float32", description="Autocast type.")

    @model_validator(mode="after")
    def _covers(self) -> Self:
        if any(stride > window for stride, window in zip(self.stride, self.window, strict=True)):
            raise ValueError("stride is larger than window, which leaves gaps between windows; lower it")
        return self

    @property
    def views(self) -> int:
        """How often each image is seen."""
        return len(self.scales) * (1 + self.flip)

    @property
    def images_at_once(self) -> int:
        """How many images of one size are predicted together."""
        return self.batch if self.views == 1 else 1

    def seen_size(self, size: Sequence[int], scale: float = 1.0) -> Size:
        """Height and width at which an image of `size` is seen: brought to the short side, and times `scale`."""
        factor = 1.0 if self.short_side is None else short_side_factor(size, self.short_side)
        return scaled_size(size, factor * scale)

    def window_size(self, seen: Size) -> Size:
        """Height and width of one forward pass over an image seen at that size: all of it, or a window within it."""
        if self.inference == "whole":
            return seen
        return min(self.window[0], seen[0]), min(self.window[1], seen[1])

    def window_corners(self, seen: Size) -> list[tuple[int, int]]:
        """Upper left corners (top, left) of the windows of an image seen at that size, row by row."""
        sides = zip(seen, self.window_size(seen), self.stride, strict=True)
        rows, columns = (window_starts(length, window, step) for length, window, step in sides)
        return list(product(rows, columns))

    def is_one_pass(self, size: Sequence[int]) -> bool:
        """Whether one forward pass sees all of an image."""
        seen = self.seen_size(size)
        return self.views == 1 and self.window_size(seen) == seen


def read_evaluation(content: Any, origin: str) -> Evaluation:
    """Validate an evaluation that somebody wrote outside of an experiment.

    Raises:
        PaumerError: it is none, or has a key that does nothing.
    """
    evaluation: Evaluation = parse(Evaluation, content, origin)
    if idle := first_idle(idle_keys(evaluation, "evaluation")):
        raise PaumerError(f"{origin}: {idle}")
    return evaluation


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows start along a side; the last one ends at the border."""
    last = max(0, length - window)
    return [*range(0, last, stride), last]


class Comparison(Section):
    """Methods at equal speed, with the same chances: of each the same number of parameters is tried for each speed-up.

    They are found by timing this device, chosen on `data.select_split`, and reported on `data.eval_split`.
    """

    methods: tuple[Method, ...] = Field((), description="What is compared. Without any there is no comparison.")
    speedups: Annotated[tuple[Annotated[float, Field(gt=1)], ...], Different] = Field(
        (1.25, 1.5, 1.75, 2.0, 2.5), min_length=1, description="Images/s over those of dense."
    )
    candidates: int = Field(3, ge=1, description="Parameters of each method that are tried for each speed-up.")
    transferred: str | None = Field(
        None,
        description="chosen.csv of another experiment with the same backbones: what was chosen there is measured here, "
        "unchanged, beside what is chosen here.",
    )

    @field_validator("methods")
    @classmethod
    def _searchable(cls, methods: tuple[Method, ...]) -> tuple[Method, ...]:
        for method in methods:
            families_of(method.strategy, heads=(1,), depth=2)
        return methods


class Robustness(Section):
    """How accuracy on corrupted images is measured: noise, blur, contrast, brightness and JPEG at three strengths."""

    sweep: Sweep = Field((), description="Operating points, beside dense. Without any the stage is left out.")
    images: int = Field(100, ge=1, description="Different images, taken evenly from the split.")


class Throughput(Section):
    """How images/s are measured."""

    batches: Annotated[tuple[Positive, ...], Different] = Field((1, 4), description="Batch sizes.")
    dtypes: Annotated[tuple[Literal["float32", "bfloat16"], ...], Different] = Field(
        ("float32",), description="Number types: of autocast, and of the weights in inference form."
    )
    modes: Annotated[tuple[Mode, ...], Different] = Field(
        ("eager",),
        description="How networks run: as they are, in their inference form (docs/measuring.md), compiled for one "
        "shape, compiled into CUDA graphs, or exported to ONNX and run by onnxruntime (`pip install "
        "'paumer[onnx]'`). The main table shows the first; it alone times strategies whose cost depends on the image.",
    )
    scopes: Annotated[tuple[Literal["logits", "labels", "patch-logits", "image"], ...], Different] = Field(
        ("logits",),
        description="What is timed: up to logits at the size of the input, up to class ids there, up to logits of "
        "patches, or full images (`image`): resized, cut into windows and put together as `evaluation` says, up to "
        "class ids. The first one is what the main table shows.",
    )
    sizes: dict[str, Annotated[tuple[PositiveSize, ...], Different]] = Field(
        {}, description="Heights and widths of the input by backbone; for backbones without, one image or window."
    )
    explicit_attention: bool = Field(
        False, description="Also time dense with an explicit attention matrix, the plain formulation of Segmenter."
    )
    images: int = Field(
        32,
        ge=1,
        description="Different images, taken evenly from the split, for strategies whose cost depends on the image.",
    )
    rounds: int = Field(31, ge=3, description="Rounds; each times every variant once, in random order.")
    block_seconds: float = Field(0.1, gt=0, description="Shortest time of one timed block.")

    def quick(self) -> Self:
        """For a first look: the first of everything, in few and short rounds."""
        few: dict[str, Any] = {name: getattr(self, name)[:1] for name in ("batches", "dtypes", "modes", "scopes")}
        few["sizes"] = {name: sizes[:1] for name, sizes in self.sizes.items()}
        shorter = {"rounds": min(5, self.rounds), "block_seconds": min(0.05, self.block_seconds)}
        return self.model_copy(update=few | shorter)


class Figures(Section):
    """What the report shows beside the tables."""

    pause_maps: int = Field(4, ge=0, description="Images shown with entropy and pause maps.")
    pause_schedule: ScheduleText = written("3:0.4", description="Schedule of the pause maps.")

    @field_validator("pause_schedule")
    @classmethod
    def _drawable(cls, schedule: Schedule) -> Schedule:
        if not 1 <= len(schedule.locations) <= MOST_LOCATIONS:
            raise ValueError(f"{schedule} pauses after {len(schedule.locations)} blocks; draw 1 to {MOST_LOCATIONS}")
        return schedule
