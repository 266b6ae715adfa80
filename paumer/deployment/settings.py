"""Options of `paumer predict`, `paumer export`, and `paumer tune`. Imports no torch."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from paumer.config.base import Section, Size, positive_size
from paumer.config.measuring import Evaluation, Throughput
from paumer.deployment.presets import Preset, choose_preset
from paumer.strategies.criteria import CONTROLS, CRITERIA, ORACLE
from paumer.strategies.registry import OperatingPoint, read_point
from paumer.strategies.resize import parse_scale
from paumer.system.errors import PaumerError

Format = Literal["overlay", "ids", "cityscapes"]


class PointSettings(Section):
    """One operating point of a trained network: a schedule, or a speed-up; dense where neither is named."""

    schedule: str | None = None
    strategy: str = "pause"
    criterion: str = ""
    speedup: float | None = Field(None, gt=1)

    @model_validator(mode="after")
    def _one_point(self) -> Self:
        if self.schedule is not None and self.speedup is not None:
            raise ValueError("give --schedule or --speedup, not both")
        self.named(self.schedule or "dense")
        return self

    def named(self, text: str) -> OperatingPoint:
        """The operating point of `dense`, a schedule, or `STRATEGY SCHEDULE` where the strategy is another one.

        Raises:
            PaumerError: it is not possible, or needs labels.
        """
        point = read_point(text, self.strategy, self.criterion)
        if point.criterion == ORACLE:
            raise PaumerError(
                "criterion oracle needs the ground truth, which images of one's own have not; use another"
            )
        return point

    def chosen(self, presets: Sequence[Preset], name: str | Path) -> OperatingPoint:
        """The operating point that is named, or the best known one for the speed-up.

        Raises:
            PaumerError: none is known to be fast enough.
        """
        if self.speedup is None:
            return self.named(self.schedule or "dense")
        preset = choose_preset(presets, self.speedup, name)
        print(f"--speedup {self.speedup:g}: {preset.strategy} {preset.schedule} ({preset.source})")
        return preset.point


class ExportSettings(PointSettings):
    """Options of `paumer export`.

    Attributes:
        form: the format; None: by the ending of the output.
        size: height and width of the images of a graph; None: that of the windows.
        half: store weights as float16; they are loaded as float32.
        speeds: also publish images/s and speed-ups that were measured.
        note: Markdown that the card shows under how the network was made.
    """

    form: Literal["hub", "onnx", "torch"] | None = None
    size: Size | None = None
    half: bool = False
    speeds: bool = True
    note: str = ""

    @field_validator("size", mode="before")
    @classmethod
    def _read_size(cls, text: str | None) -> Size | None:
        if text is None:
            return None
        sides = re.fullmatch(r"(\d+)x(\d+)", text)
        if sides is None:
            raise ValueError(f"{text!r} is no height and width; write them as 512x1024")
        return positive_size((int(sides[1]), int(sides[2])))

    def require_effect(self, form: str) -> None:
        """Refuse options that have no effect on a format.

        Raises:
            PaumerError: one is given.
        """
        of_graphs = {"schedule": None, "strategy": "pause", "criterion": "", "speedup": None, "size": None}
        idle = of_graphs if form == "hub" else {"half": False, "speeds": True, "note": ""}
        for name, default in idle.items():
            if getattr(self, name) != default:
                option = "no-speeds" if name == "speeds" else name
                what = "a folder, which runs at every operating point and size" if form == "hub" else "a graph"
                raise PaumerError(f"--{option}: has no effect on {what}; leave it out")


class PredictSettings(PointSettings):
    """Options of `paumer predict`.

    Attributes:
        formats: what to write.
        pause_maps: also draw where patches pause.
        compare: operating points to draw side by side.
        fps: frames a second that a governor keeps up with; None: every image at one operating point.
    """

    formats: tuple[Format, ...] = ()
    pause_maps: bool = False
    compare: tuple[str, ...] = ()
    fps: float | None = Field(None, gt=0)
    device: str = "auto"

    @field_validator("compare", mode="before")
    @classmethod
    def _split(cls, text: str | tuple[str, ...]) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if len(self.compared) == 1:
            raise ValueError(f"--compare {self.compare[0]}: name two or more, as dense,3:0.4")
        chosen = ("schedule", "strategy", "criterion", "speedup", "pause_maps", "compare")
        others = [
            f"--{name.replace('_', '-')}"
            for name in chosen
            if getattr(self, name) != type(self).model_fields[name].default
        ]
        if self.fps is not None and others:
            raise ValueError(f"--fps chooses an operating point for every frame; leave {others[0]} out")
        return self

    @property
    def kinds(self) -> tuple[Format, ...]:
        """Formats to write: overlays by default, nothing by default where pictures are only compared."""
        return self.formats or (() if self.compare else ("overlay",))

    @property
    def compared(self) -> list[OperatingPoint]:
        """The operating points to draw side by side."""
        return [self.named(text) for text in self.compare]


class TuneSettings(Section):
    """Options of `paumer tune`: exactly one budget, and the data and search space for it."""

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
        informed = [name for name in CRITERIA if name not in CONTROLS]
        if criterion not in informed:
            raise ValueError(f"{criterion!r} does not rank patches by predictions; use {', '.join(informed)}")
        return criterion

    @field_validator("scales", mode="before")
    @classmethod
    def _read_scales(cls, text: str | tuple[float, ...]) -> tuple[float, ...]:
        parts = text.split(",") if isinstance(text, str) else map(str, text)
        return tuple(dict.fromkeys(parse_scale(part).factor for part in parts))

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if sum(value is not None for value in (self.speedup, self.max_drop, self.images_per_second)) != 1:
            raise ValueError("give exactly one of --speedup, --max-drop and --images-per-second")
        return self
