"""Linear prediction of classes from tokens: the linear decoder and the auxiliary heads."""

from torch import Tensor, nn

from paumer.strategies.state import Count


class LinearHead(nn.Module):
    """Predicts class logits for sub_patch x sub_patch cells of every patch."""

    def __init__(self, width: int, classes: int, sub_patch: int = 1, norm: bool = False) -> None:
        super().__init__()
        self.classes, self.sub_patch = classes, sub_patch
        self.norm: nn.Module = nn.LayerNorm(width) if norm else nn.Identity()
        self.linear = nn.Linear(width, sub_patch**2 * classes)
        nn.init.trunc_normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, patches: Tensor) -> Tensor:
        """From patches (batch, patches, width) to logits (batch, patches, cells, classes)."""
        return self.linear(self.norm(patches)).unflatten(-1, (self.sub_patch**2, self.classes))

    def macs(self, patches: Count) -> Count:
        """Multiply-accumulates of one image of so many patches; of each image, where there are several counts."""
        return patches * self.linear.weight.numel()


def cells_to_map(cells: Tensor, grid: tuple[int, int]) -> Tensor:
    """Arrange values per cell as a map.

    Args:
        cells: (batch, patches, sub_patch ** 2, channels), patches and cells row by row.
        grid: patches along height and width.

    Returns:
        (batch, channels, grid height x sub_patch, grid width x sub_patch).
    """
    batch, _, count, channels = cells.shape
    side = int(count**0.5)
    arranged = cells.view(batch, *grid, side, side, channels).permute(0, 5, 1, 3, 2, 4)
    return arranged.reshape(batch, channels, grid[0] * side, grid[1] * side)
