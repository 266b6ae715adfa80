"""How networks run while they are timed: eagerly, compiled, with an explicit attention matrix."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Strategy

METHODS = {"logits": "forward", "labels": "predict_labels", "patch-logits": "patch_logits"}
GRAPHS = 10_000  # every operating point is one of its own; the compiler would give up after a few


def callable_of(model: Segmenter, strategy: Strategy, scope: str, mode: str) -> Callable[[Tensor], Tensor]:
    """A function of images that runs a network under a strategy.

    Args:
        model: in eval mode.
        strategy: what happens between its blocks.
        scope: what it gives, `logits`, `labels` or `patch-logits`.
        mode: `eager`; `compile`, one graph for each shape; or `cuda-graphs`, replayed without the host.
    """

    def run(images: Tensor) -> Tensor:
        return getattr(model, METHODS[scope])(images, strategy)

    if mode == "eager":
        return run
    torch._dynamo.config.recompile_limit = GRAPHS
    return torch.compile(run, dynamic=False, mode="reduce-overhead" if mode == "cuda-graphs" else "default")


def with_explicit_attention(model: Segmenter) -> Segmenter:
    """The same network computing its attention as Segmenter was published: with the matrix of all pairs."""
    other = copy.deepcopy(model)
    for module in other.modules():
        if hasattr(module, "fused_attn"):
            setattr(module, "fused_attn", False)  # noqa: B010, it is one of timm's attentions
    return other
