"""A smaller input: the plainest way to use less, and what every reduction of tokens has to beat."""

from dataclasses import dataclass

from paumer.strategies.contract import Strategy
from paumer.strategies.parameters import Scale


@dataclass(frozen=True)
class Resize(Strategy):
    """The network sees the image at a smaller scale, rounded to whole patches; logits come at the image's size."""

    scale: Scale
    name = "resize"

    @property
    def schedule_text(self) -> str:
        """The scale, `scale:0.75`."""
        return str(self.scale)

    @property
    def input_scale(self) -> float:  # type: ignore[override]
        """Share of the image's height and width."""
        return self.scale.factor
