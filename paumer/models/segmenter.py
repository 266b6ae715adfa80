"""Segmenter with a strategy between its blocks."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from paumer.models.encoder import Encoder, Grid
from paumer.models.heads import LinearHead, cells_to_map
from paumer.strategies.contract import Dense, State, Strategy

DENSE = Dense()


class Segmenter(nn.Module):
    """A vision transformer, a decoder and, for some blocks, auxiliary heads."""

    def __init__(self, encoder: Encoder, decoder: nn.Module, heads: dict[int, LinearHead]) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.heads = nn.ModuleDict({str(block): head for block, head in heads.items()})

    def forward(self, images: Tensor, strategy: Strategy = DENSE) -> Tensor:
        """From normalised images (batch, 3, height, width) to logits (batch, classes, height, width)."""
        return self.upsample(self.patch_logits(images, strategy), images)

    def patch_logits(self, images: Tensor, strategy: Strategy = DENSE) -> Tensor:
        """Logits before upsampling, (batch, classes, grid height, grid width), finer where the decoder is."""
        tokens, state = self.encode(images, strategy)
        return strategy.decode(self, tokens, state)

    def encode(self, images: Tensor, strategy: Strategy, read_heads: bool = False) -> tuple[Tensor, State]:
        """Run the blocks under a strategy.

        Args:
            images: (batch, 3, height, width).
            strategy: what happens between the blocks.
            read_heads: let every head predict from the patches that reach it, as training needs.

        Returns:
            The tokens that still run, (batch, prefix + running, width), and the strategy's state.
        """
        tokens, state = self.embed(images)
        for number, block in enumerate(self.encoder.blocks[: strategy.last_block(self.encoder.depth)], start=1):
            tokens = block(tokens)
            if read_heads and str(number) in self.heads:
                state.predict(number, tokens)
            tokens = strategy.after_block(number, tokens, state)
        return tokens, state

    def embed(self, images: Tensor) -> tuple[Tensor, State]:
        """Pad the images to whole patches and embed them; start the state that strategies share."""
        padded = self._pad(images)
        tokens = self.encoder.embed(padded)
        grid = self.encoder.grid(*padded.shape[-2:])
        return tokens, State(heads=self.heads, prefix=self.encoder.prefix, grid=grid)

    def decode(self, patches: Tensor, grid: Grid) -> Tensor:
        """Norm and decode patches (batch, patches, width) that are all at their places."""
        return self.decoder(self.encoder.norm(patches), grid)

    def arrange(self, cells: Tensor, grid: Grid) -> Tensor:
        """Arrange a head's logits (batch, patches, cells, classes) as a map (batch, classes, height, width)."""
        return cells_to_map(cells, grid)

    def sweep(self, images: Tensor, strategies: Sequence[Strategy]) -> list[Tensor]:
        """Patch logits under several strategies, sharing every block that some of them have in common.

        Strategies that have acted alike so far run as one; the result equals separate forward passes.
        """
        results: list[Tensor | None] = [None] * len(strategies)
        tokens, state = self.embed(images)
        self._sweep(tokens, state, 0, list(enumerate(strategies)), results)
        return [result for result in results if result is not None]

    def _sweep(
        self,
        tokens: Tensor,
        state: State,
        done: int,
        group: list[tuple[int, Strategy]],
        results: list[Tensor | None],
    ) -> None:
        """Run a group of strategies that share `tokens` and `state` after `done` blocks."""
        depth = self.encoder.depth
        for index, strategy in group:
            if strategy.last_block(depth) == done:
                results[index] = strategy.decode(self, tokens, state.fork())
        group = [(index, strategy) for index, strategy in group if strategy.last_block(depth) > done]
        if not group:
            return
        tokens = self.encoder.blocks[done](tokens)
        branches: dict[object, list[tuple[int, Strategy]]] = {}
        for index, strategy in group:
            branches.setdefault(strategy.action(done + 1), []).append((index, strategy))
        for branch in branches.values():
            fork = state.fork()
            self._sweep(branch[0][1].after_block(done + 1, tokens, fork), fork, done + 1, branch, results)

    def _pad(self, images: Tensor) -> Tensor:
        """Pad on the right and bottom with zeros to multiples of the patch size, as Segmenter does."""
        height, width = images.shape[-2:]
        size = self.encoder.patch_size
        missing = (0, -width % size, 0, -height % size)
        return functional.pad(images, missing) if any(missing) else images

    def upsample(self, logits: Tensor, images: Tensor) -> Tensor:
        """Resize patch logits to the images they belong to, bilinearly; padding is cut off."""
        height, width = images.shape[-2:]
        size = self.encoder.patch_size
        padded = (height + -height % size, width + -width % size)
        return functional.interpolate(logits, size=padded, mode="bilinear")[..., :height, :width]
