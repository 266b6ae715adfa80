"""Where the running patches lie on the grid of the image."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Places:
    """Where running patches lie on the grids of their images.

    Attributes:
        grid: patches along height and width.
        images: how many images there are.
        images_of: the image of every running patch, laid out as they are, (batch, running) or a shape that fits it;
            None while every patch is at its place.
        cells: its number among the patches of the image, (batch, running); None as above.
    """

    grid: tuple[int, int]
    images: int
    images_of: Tensor | None = None
    cells: Tensor | None = None

    @property
    def rows(self) -> Tensor | None:
        """The number of every running patch among the patches of all images, (all running,); None as above."""
        if self.cells is None or self.images_of is None:
            return None
        return (self.cells + self.images_of * (self.grid[0] * self.grid[1])).flatten()

    def to_map(self, values: Tensor) -> Tensor:
        """Values of the running patches (batch, running, width) as (images, width, height, width); zero elsewhere."""
        if self.rows is not None:
            flat = values.new_zeros(self.images * self.grid[0] * self.grid[1], values.shape[-1])
            values = flat.index_copy(0, self.rows, values.flatten(0, 1)).unflatten(0, (self.images, -1))
        return values.transpose(1, 2).unflatten(2, self.grid)

    def from_map(self, values: Tensor) -> Tensor:
        """Values at the running patches, (batch, running, width), of maps (images, width, height, width)."""
        everywhere = values.flatten(2).transpose(1, 2)
        if self.rows is None or self.cells is None:
            return everywhere
        return everywhere.flatten(0, 1).index_select(0, self.rows).unflatten(0, self.cells.shape)
