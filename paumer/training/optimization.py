"""Optimisers and learning rates, stochastic depth, and compiled blocks.

`torch.optim.Muon` always orthogonalises in bfloat16, which a processor without instructions for it emulates: there the
optimiser took more time than forward and backward pass together. Ours takes a number type that the device is fast at.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.optim import Optimizer

from paumer.config.runs import TrainSettings
from paumer.config.training import Phase
from paumer.models.segmenter import Segmenter
from paumer.system.errors import PaumerError, summary
from paumer.system.machine import fast_at_bfloat16

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


class Optimization:
    """The optimisers of a run, with the learning rate of each step.

    AdamW; with `optimizer: muon` Muon for the matrices inside the blocks. `sgd` is timm's, with Nesterov momentum, as
    Segmenter was trained.
    """

    def __init__(self, model: Segmenter, settings: TrainSettings, steps: int) -> None:
        self.model, self.phase, self.steps, self.clip = model, settings.phase, steps, settings.phase.clip
        decay, momentum = settings.phase.weight_decay, settings.phase.momentum
        # Clipped apart, so that large gradients of the heads do not shrink those of the network.
        heads = list(model.heads.parameters())
        self.parts = [[value for name, value in model.named_parameters() if not name.startswith("heads.")], heads]
        rest = dict(model.named_parameters())
        self.optimizers: list[torch.optim.Optimizer] = []
        if settings.phase.optimizer == "muon":
            matrices = [rest.pop(name) for name, value in list(rest.items()) if ".blocks." in name and value.ndim == 2]
            rate = settings.phase.matrix_learning_rate
            self.optimizers.append(
                Muon([{"params": matrices, "peak": rate}], lr=rate, weight_decay=decay, dtype=_muon_dtype(matrices))
            )
        groups = _groups(rest.items(), settings)
        self.optimizers.append(
            torch.optim.SGD(groups, momentum=momentum, weight_decay=decay, nesterov=momentum > 0)
            if settings.phase.optimizer == "sgd"
            else torch.optim.AdamW(groups, weight_decay=decay)
        )

    def step(self, step: int) -> None:
        """One step down the gradient that the parameters hold, at the learning rate of `step` (from 0)."""
        for part in self.parts if self.clip else []:
            nn.utils.clip_grad_norm_(part, self.clip)
        factor = learning_rate_factor(step, self.steps, self.phase)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, object]]:
        """The optimisers' states, for a checkpoint."""
        return [optimizer.state_dict() for optimizer in self.optimizers]

    def load_state_dict(self, states: list[dict[str, object]]) -> None:
        """Go on from a checkpoint."""
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(state)


def learning_rate_factor(step: int, steps: int, phase: Phase) -> float:
    """Share of the peak learning rate at `step` of `steps`: linear warm-up, then decay to the phase's last share."""
    warmup = round(phase.warmup * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, steps - warmup)
    left = 0.5 * (1 + math.cos(math.pi * progress)) if phase.decay == "cosine" else (1 - progress) ** 0.9
    return phase.final + (1 - phase.final) * left


def _muon_dtype(matrices: list[nn.Parameter]) -> torch.dtype:
    """The number type in which Muon iterates: bfloat16 where the device has instructions for it."""
    return torch.bfloat16 if matrices and fast_at_bfloat16(matrices[0].device) else torch.float32


def _groups(parameters: Iterable[tuple[str, nn.Parameter]], settings: TrainSettings) -> list[dict[str, object]]:
    """Backbone and the rest apart, with weight decay for matrices only; each group remembers its peak rate."""
    phase = settings.phase
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, value in parameters:
        matrix = value.ndim >= 2 and not name.endswith(
            ("pos_embed", "cls_token", "dist_token", "reg_token", "class_tokens")
        )
        groups.setdefault((name.startswith("encoder."), matrix), []).append(value)
    return [
        {
            "params": values,
            "peak": phase.learning_rate if backbone else phase.head_learning_rate,
            **({} if matrix else {"weight_decay": 0.0}),
        }
        for (backbone, matrix), values in groups.items()
    ]


class _DropPath(nn.Module):
    """Drops a residual branch of the images for which that was drawn.

    Attributes:
        factors: 0 for those, for the others what keeps the mean, (batch,).
    """

    factors: Tensor

    def __init__(self, kept: float) -> None:
        super().__init__()
        self.kept = kept

    def forward(self, tokens: Tensor) -> Tensor:
        """From tokens (batch, count, width) to the same shape."""
        return tokens * self.factors.to(tokens.dtype).view(-1, 1, 1) if self.training else tokens


class DropPaths:
    """Stochastic depth, drawn for all images of a step at once, so that it does not depend on how they are split."""

    def __init__(self, model: nn.Module) -> None:
        """Replace timm's DropPath modules of the model."""
        self.layers: list[_DropPath] = []
        for parent in list(model.modules()):
            for name, child in parent.named_children():
                if isinstance(child, DropPath):
                    self.layers.append(_DropPath(1 - child.drop_prob))
                    setattr(parent, name, self.layers[-1])
        self.drawn: list[Tensor] = []

    def draw(self, images: int, seed: int, device: torch.device) -> None:
        """Draw for all images of a step, as timm does in a forward pass of all of them."""
        generator = torch.Generator(device).manual_seed(seed)
        empty = torch.empty(images, device=device)
        self.drawn = [torch.bernoulli(empty, layer.kept, generator=generator) / layer.kept for layer in self.layers]

    def use_samples(self, part: slice) -> None:
        """Use the draws of these images in the next forward pass."""
        for layer, drawn in zip(self.layers, self.drawn, strict=True):
            layer.factors = drawn[part]


def compile_blocks(model: Segmenter) -> None:
    """Compile the encoder's blocks, each for any number of tokens, which schedules change.

    Blocks within which tokens merge run in two halves, uncompiled.
    """
    for block in model.encoder.blocks:
        block.compile(dynamic=True)


@contextmanager
def compiling(enabled: bool) -> Iterator[None]:
    """Turn errors of the compiler into one line.

    Raises:
        PaumerError: the compiler fails, or what it needs is missing.
    """
    if not enabled:
        yield
        return
    from torch._dynamo.exc import TorchDynamoException

    try:
        yield
    except TorchDynamoException as error:
        raise PaumerError(
            f"training.options.compile: blocks cannot be compiled here ({summary(error)}); set it to false"
        ) from None
