"""Optimisers and learning rates."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from paumer.config import Phase
from paumer.models.segmenter import Segmenter
from paumer.runtime import fast_at_bfloat16
from paumer.stages import TrainSettings
from paumer.training.muon import Muon


class Optimization:
    """The optimisers of a run and its learning rate as a function of the step.

    AdamW everywhere; with `optimizer: muon` the matrices inside the blocks take Muon. `sgd` is what timm calls so, and
    Segmenter was trained by: its momentum is Nesterov's.
    """

    def __init__(self, model: Segmenter, settings: TrainSettings, steps: int) -> None:
        self.model, self.phase, self.steps, self.clip = model, settings.phase, steps, settings.phase.clip
        decay, momentum = settings.phase.weight_decay, settings.phase.momentum
        # Clipped apart: however large the gradients of the heads are, they do not slow the network down.
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
