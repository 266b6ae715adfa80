"""What `paumer predict` is asked for. Imports no torch."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from paumer.config import Section
from paumer.errors import PaumerError
from paumer.registry import Point, operating_point

Format = Literal["overlay", "ids", "cityscapes"]
BASELINE = "dense"


class PredictSettings(Section):
    """Options of `paumer predict`."""

    formats: tuple[Format, ...] = ()
    pause_maps: bool = False
    schedule: str | None = None
    strategy: str = "pause"
    criterion: str = ""
    speedup: float | None = Field(None, gt=1)
    compare: tuple[str, ...] = ()
    device: str = "auto"

    @field_validator("compare", mode="before")
    @classmethod
    def _split(cls, text: str | tuple[str, ...]) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.schedule is not None and self.speedup is not None:
            raise ValueError("give --schedule or --speedup, not both")
        try:
            points = self.compared
            if self.schedule is not None:
                points = [*points, self.named(self.schedule)]
        except PaumerError as error:
            raise ValueError(str(error)) from None
        if any(point.criterion == "oracle" for point in points):
            raise ValueError("criterion oracle needs the ground truth, which images of one's own have not; use another")
        if self.compare and len(self.compare) < 2:
            raise ValueError(f"--compare {self.compare[0]}: name two or more, as dense,3:0.4")
        return self

    @property
    def kinds(self) -> tuple[Format, ...]:
        """The formats to write: overlays, unless others are asked for or pictures are only compared."""
        return self.formats or (() if self.compare else ("overlay",))

    @property
    def compared(self) -> list[Point]:
        """The operating points that stand side by side."""
        return [self.named(text) for text in self.compare]

    def named(self, text: str) -> Point:
        """The operating point of `dense`, a schedule, or `STRATEGY SCHEDULE` where the strategy is another one.

        Raises:
            PaumerError: it is not possible.
        """
        if text == BASELINE:
            return Point()
        strategy, _, schedule = text.rpartition(" ") if text[:1].isalpha() else ("", "", text)
        if strategy and strategy != self.strategy:
            return operating_point(strategy, "", schedule)
        return operating_point(self.strategy, self.criterion, schedule)
