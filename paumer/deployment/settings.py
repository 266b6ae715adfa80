"""What `paumer predict`, and `paumer export` of graphs, are asked for. Imports no torch."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from paumer.config import (
    Evaluation,
    Section,
    Size,
    Throughput,
)
from paumer.config.base import positive_size
from paumer.deployment.presets import Preset, choose_preset
from paumer.strategies.criteria import INFORMED
from paumer.strategies.registry import OperatingPoint, read_point
from paumer.strategies.resize import parse_scale
from paumer.system.errors import PaumerError

Format = Literal["overlay", "ids", "cityscapes"]
NO_ORACLE = "criterion oracle needs the ground truth, which images of one's own have not; use another"


class PointSettings(Section):
    """One operating point of a trained network: a schedule, or how fast it is to be; dense where neither is named."""

    schedule: str | None = None
    strategy: str = "pause"
    criterion: str = ""
    speedup: float | None = Field(None, gt=1)

    @model_validator(mode="after")
    def _one_point(self) -> Self:
        if self.schedule is not None and self.speedup is not None:
            raise ValueError("give --schedule or --speedup, not both")
        try:
            point = OperatingPoint() if self.schedule is None else self.named(self.schedule)
        except PaumerError as error:
            raise ValueError(str(error)) from None
        if point.criterion == "oracle":
            raise ValueError(NO_ORACLE)
        return self

    def named(self, text: str) -> OperatingPoint:
        """The operating point of `dense`, a schedule, or `STRATEGY SCHEDULE` where the strategy is another one.

        Raises:
            PaumerError: it is not possible.
        """
        return read_point(text, self.strategy, self.criterion)

    def chosen(self, presets: Sequence[Preset], name: str | Path) -> OperatingPoint:
        """The operating point: the schedule's, the most accurate of those that are known to be fast enough, or dense.

        Raises:
            PaumerError: none is known to be so fast.
        """
        if self.speedup is None:
            return OperatingPoint() if self.schedule is None else self.named(self.schedule)
        preset = choose_preset(presets, self.speedup, name)
        print(f"--speedup {self.speedup:g}: {preset.strategy} {preset.schedule} ({preset.source})")
        return preset.point


class GraphSettings(PointSettings):
    """Options of `paumer export torch` and `paumer export onnx`."""

    size: Size | None = None

    @field_validator("size", mode="before")
    @classmethod
    def _read_size(cls, text: str | None) -> Size | None:
        if text is None:
            return None
        sides = re.fullmatch(r"(\d+)x(\d+)", text)
        if sides is None:
            raise ValueError(f"{text!r} is no height and width; write them as 512x1024")
        return positive_size((int(sides[1]), int(sides[2])))


class PredictSettings(PointSettings):
    """Options of `paumer predict`."""

    formats: tuple[Format, ...] = ()
    pause_maps: bool = False
    compare: tuple[str, ...] = ()
    device: str = "auto"

    @field_validator("compare", mode="before")
    @classmethod
    def _split(cls, text: str | tuple[str, ...]) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text

    @model_validator(mode="after")
    def _agree(self) -> Self:
        try:
            points = self.compared
        except PaumerError as error:
            raise ValueError(str(error)) from None
        if any(point.criterion == "oracle" for point in points):
            raise ValueError(NO_ORACLE)
        if self.compare and len(self.compare) < 2:
            raise ValueError(f"--compare {self.compare[0]}: name two or more, as dense,3:0.4")
        return self

    @property
    def kinds(self) -> tuple[Format, ...]:
        """The formats to write: overlays, unless others are asked for or pictures are only compared."""
        return self.formats or (() if self.compare else ("overlay",))

    @property
    def compared(self) -> list[OperatingPoint]:
        """The operating points that stand side by side."""
        return [self.named(text) for text in self.compare]


class TuneSettings(Section):
    """A budget, exactly one, and what a schedule is chosen on."""

    speedup: float | None = Field(None, gt=1)
    max_drop: float | None = Field(None, ge=0)
    images_per_second: float | None = Field(None, gt=0)
    split: str = "val"
    images: int | None = Field(None, ge=1)
    batch: int = Field(1, ge=1)
    criterion: str = "entropy"
    locations: int = Field(2, ge=1)
    scales: tuple[float, ...] = Field((1.0,), min_length=1)
    device: str = "auto"
    evaluation: Evaluation = Field(default_factory=Evaluation)
    throughput: Throughput = Throughput(rounds=15, block_seconds=0.2)  # few candidates; the chosen one is timed longer

    @field_validator("criterion")
    @classmethod
    def _usable(cls, criterion: str) -> str:
        if criterion not in INFORMED:
            raise ValueError(f"{criterion!r} chooses no patches by what a head says; use {', '.join(INFORMED)}")
        return criterion

    @field_validator("scales", mode="before")
    @classmethod
    def _read_scales(cls, text: str | tuple[float, ...]) -> tuple[float, ...]:
        parts = text.split(",") if isinstance(text, str) else map(str, text)
        try:
            return tuple(dict.fromkeys(parse_scale(part).factor for part in parts))
        except PaumerError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if sum(value is not None for value in (self.speedup, self.max_drop, self.images_per_second)) != 1:
            raise ValueError("give exactly one of --speedup, --max-drop and --images-per-second")
        return self
