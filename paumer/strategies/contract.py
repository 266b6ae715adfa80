"""What every strategy declares and offers, what it may ask of the network, and compositions of several.

Imports no torch before a network runs: the workflow plans with these declarations.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from paumer.strategies.criteria import CRITERIA
from paumer.strategies.families import Family
from paumer.strategies.notation import Parameters

if TYPE_CHECKING:
    from torch import Tensor, nn

    from paumer.strategies.state import State

CHAIN = ">"


class Network(Protocol):
    """What a strategy may ask of the network it runs in.

    Attributes:
        heads: auxiliary heads by block number (as text).
        class_weights: how much each class counts in criteria that ask, (classes,); None: unknown.
        blocks: the encoder layers.
        splits_blocks: whether its blocks can run in two halves, attention and feed-forward network.
    """

    heads: nn.ModuleDict
    class_weights: Tensor | None

    @property
    def blocks(self) -> nn.Sequential: ...  # noqa: D102

    @property
    def splits_blocks(self) -> bool: ...  # noqa: D102

    def embed_squares(self, pixels: Tensor, state: State) -> Tensor:
        """Tokens (batch, squares, width) of 2 x 2 patches, from their pixels at half the size."""

    def classify(self, patches: Tensor, state: State) -> Tensor:
        """Norm and decode patches (batch, patches, width) into logits (batch, patches, cells, classes)."""


@dataclass(frozen=True)
class Strategy:
    """What happens between the blocks. The base class does nothing, which is dense inference.

    A strategy reduces the running patches through the state, and each reduction is restored before the decoder. The
    class attributes declare it; a class with examples is registered by lying in this folder.

    Attributes:
        parameters: as `parse` reads them; None for dense.
        criterion_name: the criterion that scores patches; empty: the usual one, or none where it takes none.
        name: its name in tables and configurations.
        description: what it does, in a line.
        examples: its parameters in their notation, one way each.
        recipes: the networks that run it unless the configuration names others.
        criteria: those it takes, the usual one first.
        reads_heads: it needs an auxiliary head at each of its blocks (unless its criterion needs none).
        needs_full_grid: it must act before other reductions.
        within_block: it acts inside its blocks, between attention and feed-forward network, instead of after them.
        defers_tokens: some patches skip blocks, and the decoder predicts them.
        outputs_logits: its patches end with predictions of a head; deferred patches would have none.
        ends_pass: no block runs after its own.
        ragged: where the cost varies, images have different numbers of patches, packed into one sequence.
        input_scale: share of the image's height and width that the network sees.
    """

    parameters: Any = None
    criterion_name: str = ""

    name: ClassVar[str] = "dense"
    description: ClassVar[str] = ""
    examples: ClassVar[tuple[str, ...]] = ()
    recipes: ClassVar[tuple[str, ...]] = ()
    criteria: ClassVar[tuple[str, ...]] = ()
    reads_heads: ClassVar[bool] = False
    needs_full_grid: ClassVar[bool] = False
    within_block: ClassVar[bool] = False
    defers_tokens: ClassVar[bool] = False
    outputs_logits: ClassVar[bool] = False
    ends_pass: ClassVar[bool] = False
    ragged: ClassVar[bool] = False

    @staticmethod
    def parse(text: str) -> Parameters:
        """Read the parameters from their notation; raises PaumerError."""
        raise NotImplementedError

    @classmethod
    def families(cls, heads: Sequence[int], depth: int) -> tuple[Family, ...]:
        """Its schedules for a network, as families that a search solves for a speed; none where it has no such.

        Args:
            heads: the blocks with an auxiliary head that others follow.
            depth: number of blocks.
        """
        return ()

    def __post_init__(self) -> None:
        if not self.criterion_name and self.criteria:
            object.__setattr__(self, "criterion_name", self.criteria[0])

    def __str__(self) -> str:
        """Name and parameters, `pause 3:0.4`."""
        return "dense" if self.name == "dense" else f"{self.name} {self.schedule_text}"

    @property
    def schedule_text(self) -> str:
        """Its parameters in tables, `3:0.4`."""
        return "dense" if self.parameters is None else str(self.parameters)

    @property
    def varies(self) -> bool:
        """Whether what an image shows decides how much is computed for it."""
        return self.parameters is not None and self.parameters.varies

    @property
    def head_blocks(self) -> tuple[int, ...]:
        """The blocks whose auxiliary heads it reads."""
        needed = self.reads_heads and (not self.criterion_name or CRITERIA[self.criterion_name].needs_head)
        return self.parameters.blocks if needed else ()

    @property
    def needs_labels(self) -> bool:
        """Whether its criterion is computed from the ground truth."""
        return bool(self.criterion_name) and CRITERIA[self.criterion_name].needs_labels

    @property
    def per_image(self) -> bool:
        """Whether images must run one by one: merging leaves different numbers of tokens, and cannot pack them."""
        return self.within_block and self.varies

    @property
    def needs_split_blocks(self) -> bool:
        """Whether blocks must run in two halves: tokens merge between them, or images have different lengths."""
        return self.within_block or (self.ragged and self.varies)

    @property
    def input_scale(self) -> float:
        """Share of the image's height and width that the network sees."""
        return 1.0

    def skip(self, network: Network) -> str:
        """Why this network cannot run it; empty where it can."""
        if self.needs_split_blocks and not network.splits_blocks:
            return "this needs blocks of an ordinary attention, then a feed-forward network"
        if missing := [block for block in self.head_blocks if str(block) not in network.heads]:
            return f"the network has no auxiliary head after block {missing[0]}"
        if self.criterion_name and CRITERIA[self.criterion_name].needs_frequencies and network.class_weights is None:
            return "the network does not know how frequent the classes are"
        return ""

    def last_block(self, depth: int) -> int:
        """The number of blocks to run in a network of `depth` blocks."""
        return depth

    def action_key(self, block: int) -> Hashable:
        """Whether `after_block` acts after a block: None if not; in a sweep, equal keys share its computation.

        At block 0: whether `before_blocks` acts.
        """
        return None if self.within_block else self._key(block)

    def merge_key(self, block: int) -> Hashable:
        """Whether `within` acts inside a block: None if not; in a sweep, equal keys share its computation."""
        return self._key(block) if self.within_block else None

    def _key(self, block: int) -> Hashable:
        at = None if self.parameters is None else self.parameters.at(block)
        return None if at is None else (self.name, self.criterion_name, at)

    def before_blocks(self, network: Network, tokens: Tensor, state: State) -> Tensor:
        """Reduce the embedded tokens (batch, prefix + patches, width), where it acts before the first block."""
        return tokens

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Reduce the tokens after a block where it acts.

        Args:
            block: its number, counted from 1.
            tokens: (batch, prefix + running, width).
            state: the forward pass, which applies reductions.

        Returns:
            (batch, prefix + kept, width).
        """
        return tokens

    def within(self, block: int, tokens: Tensor, keys: Tensor, state: State) -> Tensor:
        """Reduce the tokens between a block's attention and its feed-forward network where it acts.

        Args:
            block: its number, counted from 1.
            tokens: (batch, prefix + running, width).
            keys: of the attention, mean over its heads, (batch, prefix + running, channels).
            state: the forward pass, which applies reductions.

        Returns:
            (batch, prefix + kept, width).
        """
        return tokens

    def classify(self, network: Network, patches: Tensor, state: State) -> Tensor:
        """Logits (batch, patches, cells, classes) of patches (batch, patches, width) after the last block."""
        return network.classify(patches, state)

    def finish(self, network: Network, tokens: Tensor, state: State) -> Tensor:
        """Restore all reductions and classify: logits of every patch at its place, (batch, patches, cells, classes).

        Tokens are restored up to the first reduction that kept predictions; from there on it is logits.
        """
        values, classified = state.patches_of(tokens), False
        while state.reductions:
            if state.reductions[-1].of_logits and not classified:
                values, classified = self.classify(network, values, state), True
            values = state.undo().restore(values)
        return values if classified else self.classify(network, values, state)


class Dense(Strategy):
    """Every patch runs through every block."""


@dataclass(frozen=True)
class Chain(Strategy):
    """Each strategy takes the tokens that the one before leaves; all is restored in reverse order."""

    links: tuple[Strategy, ...] = ()

    def __post_init__(self) -> None:
        shared = next((link.criterion_name for link in self.links if link.criterion_name), "")
        object.__setattr__(self, "criterion_name", shared)
        object.__setattr__(self, "name", CHAIN.join(link.name for link in self.links))

    @property
    def schedule_text(self) -> str:
        """The parameters, `1-4:0.1>6:0.3`."""
        return CHAIN.join(link.schedule_text for link in self.links)

    @property
    def varies(self) -> bool:
        """Whether the cost of any link varies."""
        return any(link.varies for link in self.links)

    @property
    def head_blocks(self) -> tuple[int, ...]:
        """The blocks of all links."""
        return tuple(block for link in self.links for block in link.head_blocks)

    @property
    def per_image(self) -> bool:
        """Whether any link needs images one by one."""
        return any(link.per_image for link in self.links)

    @property
    def input_scale(self) -> float:
        """Share of the image's height and width: only `resize`, which may occur once, has one."""
        return min(link.input_scale for link in self.links)

    def skip(self, network: Network) -> str:
        """The first reason that a link has."""
        return next((reason for link in self.links if (reason := link.skip(network))), "")

    def last_block(self, depth: int) -> int:
        """Where the first link stops."""
        return min(link.last_block(depth) for link in self.links)

    def action_key(self, block: int) -> Hashable:
        """The keys of the links; as the link's own where it is one."""
        keys = tuple(key for link in self.links if (key := link.action_key(block)) is not None)
        return keys[0] if len(keys) == 1 else keys or None

    def merge_key(self, block: int) -> Hashable:
        """The key of the one link that acts inside a block."""
        return next((key for link in self.links if (key := link.merge_key(block)) is not None), None)

    def before_blocks(self, network: Network, tokens: Tensor, state: State) -> Tensor:
        """Let the links act in turn."""
        for link in self.links:
            if link.action_key(0) is not None:
                tokens = link.before_blocks(network, tokens, state)
        return tokens

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Let the links act in turn."""
        for link in self.links:
            if link.action_key(block) is not None:
                tokens = link.after_block(block, tokens, state)
        return tokens

    def within(self, block: int, tokens: Tensor, keys: Tensor, state: State) -> Tensor:
        """Let the link act that does so here."""
        acting = next(link for link in self.links if link.merge_key(block) is not None)
        return acting.within(block, tokens, keys, state)

    def classify(self, network: Network, patches: Tensor, state: State) -> Tensor:
        """As the last link does."""
        return self.links[-1].classify(network, patches, state)
