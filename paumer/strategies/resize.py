"""A smaller input: the plainest way to use less, and what every reduction of tokens has to beat."""

from collections.abc import Sequence
from dataclasses import dataclass

from paumer.strategies.contract import Strategy
from paumer.strategies.families import Family
from paumer.strategies.notation import DECIMALS, Parameters, read_portion


@dataclass(frozen=True)
class Scale(Parameters):
    """How much of the image's height and width the network sees, written `scale:0.75`."""

    factor: float

    def __str__(self) -> str:
        """The notation."""
        return f"scale:{self.factor:.{DECIMALS}g}"


def parse_scale(text: str) -> Scale:
    """Read the scale of a smaller input."""
    return Scale(read_portion(text, "scale", "scale:0.75"))


class Resize(Strategy):
    """The network sees the image at a smaller scale, rounded to whole patches; logits come at the image's size."""

    name = "resize"
    description = "the network sees a smaller image: the plainest way to use less"
    examples = ("scale:0.75",)
    recipes = ("dense", "resize")
    needs_full_grid = True

    parameters: Scale
    parse = staticmethod(parse_scale)

    @classmethod
    def families(cls, heads: Sequence[int], depth: int) -> tuple[Family, ...]:
        """Any smaller input."""
        return (Family("scale:{}", (-1.0,), start=1.0, most=0.6),)

    @property
    def input_scale(self) -> float:
        """Share of the image's height and width."""
        return self.parameters.factor
