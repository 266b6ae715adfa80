"""Muon for the matrices inside the blocks, in a number type that the device is fast at.

`torch.optim.Muon` always orthogonalises in bfloat16, which a processor without instructions for it emulates: there the
optimiser took more time than forward and backward pass together.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

# Quintic Newton-Schulz iteration of Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
EPSILON = 1e-7
MOMENTUM = 0.95


class Muon(Optimizer):
    """Muon with Nesterov momentum, its steps as long as AdamW's (Liu et al., "Muon is Scalable for LLM Training").

    Steps equal those of `torch.optim.Muon(adjust_lr_fn="match_rms_adamw")` where both iterate in one number type.
    Matrices of one shape are orthogonalised together.

    Args:
        params: matrices, or groups of them.
        lr: learning rate.
        weight_decay: decoupled weight decay.
        dtype: number type of the Newton-Schulz iteration.
    """

    def __init__(self, params: Iterable[Any], lr: float, weight_decay: float, dtype: torch.dtype) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": MOMENTUM})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Step along the orthogonalised momentum of every matrix that has a gradient."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    shapes.setdefault(matrix.shape, []).append(matrix)
            for (rows, columns), matrices in shapes.items():
                directions = orthogonalized(self._momentum(matrices, group["momentum"]), self.dtype)
                length = 0.2 * group["lr"] * max(rows, columns) ** 0.5
                torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(matrices, list(directions.to(matrices[0].dtype).unbind()), alpha=-length)

    def _momentum(self, matrices: list[Tensor], momentum: float) -> Tensor:
        """Update the momentum of matrices of one shape; give the Nesterov direction, (matrices, rows, columns)."""
        for matrix in matrices:
            if "momentum_buffer" not in self.state[matrix]:
                self.state[matrix]["momentum_buffer"] = torch.zeros_like(matrix)
        gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
        buffers = [self.state[matrix]["momentum_buffer"] for matrix in matrices]
        torch._foreach_lerp_(buffers, gradients, 1 - momentum)
        return torch.stack(torch._foreach_lerp(gradients, buffers, momentum))


def orthogonalized(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """Bring the singular values of each matrix near 1, by Newton-Schulz iterations in `dtype`.

    Args:
        matrices: (matrices, rows, columns).
        dtype: number type of the iterations and of the result.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    current = (matrices.mT if tall else matrices).to(dtype)
    current = current / current.norm(dim=(-2, -1), keepdim=True).clamp(min=EPSILON)
    for _ in range(ITERATIONS):
        gram = current @ current.mT
        update = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        current = torch.baddbmm(current, update, current, beta=a)
    return current.mT if tall else current
