"""What every strategy offers, what it may ask of the network, and the strategy that does nothing."""

from collections.abc import Hashable
from typing import Protocol

from timm.models.vision_transformer import Attention, Block
from torch import Tensor, nn

from paumer.strategies.state import State
from paumer.strategies.tokens import Paused
from paumer.system.errors import PaumerError


class Network(Protocol):
    """What a strategy may ask of the network it runs in."""

    heads: nn.ModuleDict
    class_weights: Tensor | None

    @property
    def blocks(self) -> nn.Sequential:
        """The encoder layers."""

    def classify(self, patches: Tensor, state: "State") -> Tensor:
        """Norm and decode patches (batch, patches, width) into logits (batch, patches, cells, classes)."""


class Strategy:
    """What happens between the blocks. The base class does nothing, which is dense inference.

    A strategy reduces the running patches through the state, which undoes it before the decoder. Subclasses are built
    from their parameters, and from a criterion if they take one, as the registry says.

    Attributes:
        name: its name in tables.
        criterion_name: its criterion in tables; empty where it has none.
        per_image: how many patches it leaves depends on the image, so images run one by one.
        input_scale: share of the image's height and width that the network sees.
    """

    name = "dense"
    criterion_name = ""
    per_image = False
    input_scale = 1.0

    @property
    def schedule_text(self) -> str:
        """Its parameters in tables."""
        return "dense"

    @property
    def reads(self) -> tuple[int, ...]:
        """The blocks whose auxiliary heads it reads."""
        return ()

    @property
    def halves(self) -> bool:
        """Whether blocks must run in two halves: tokens merge between them, or images have different lengths."""
        return False

    def skip(self, network: Network) -> str:
        """Why this network cannot run it; empty where it can."""
        ordinary = (type(block) is Block and type(block.attn) is Attention for block in network.blocks)
        if self.halves and not all(ordinary):
            return "this needs blocks of an ordinary attention, then a feed-forward network"
        missing = [block for block in self.reads if str(block) not in network.heads]
        return f"the network has no auxiliary head after block {missing[0]}" if missing else ""

    def last_block(self, depth: int) -> int:
        """The number of blocks to run in a network of `depth` blocks."""
        return depth

    def inside(self, block: int) -> Hashable:
        """What `inside_block` does there: None for nothing, equal values for equal actions."""
        return None

    def inside_block(self, block: int, tokens: Tensor, keys: Tensor, state: State) -> Tensor:
        """Take the tokens between a block's attention and its feed-forward network; give those that go on.

        Args:
            block: its number.
            tokens: (batch, prefix + running, width).
            keys: of the attention, mean over its heads, (batch, prefix + running, channels).
            state: the forward pass.
        """
        return tokens

    def action(self, block: int) -> Hashable:
        """What `after_block` does there: None for nothing, equal values for equal actions."""
        return None

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Take the tokens after a block, (batch, prefix + running, width); give those that go on."""
        return tokens

    def classify(self, network: Network, patches: Tensor, state: State) -> Tensor:
        """Logits (batch, patches, cells, classes) of patches (batch, patches, width) after the last block."""
        return network.classify(patches, state)

    def finish(self, network: Network, tokens: Tensor, state: State) -> Tensor:
        """Undo all reductions and classify: logits of every patch at its place, (batch, patches, cells, classes).

        Tokens are undone up to the first reduction that kept predictions; from there on it is logits.
        """
        values, classified = state.patches_of(tokens), False
        for reduction in reversed(state.reductions):
            if reduction.of_logits and not classified:
                values, classified = self.classify(network, values, state), True
            if classified and isinstance(reduction, Paused):
                raise PaumerError(
                    f"{self.name} {self.schedule_text}: patches that wait have no prediction; pause later"
                )
            values = reduction.undo(values)
        return values if classified else self.classify(network, values, state)


class Dense(Strategy):
    """Every patch runs through every block."""
