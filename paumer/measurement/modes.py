"""Networks as functions that are timed: eager, in inference form, compiled, in onnxruntime, on full images."""

import copy
from collections.abc import Callable, Sequence
from typing import cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from paumer.config.base import Size
from paumer.config.measuring import Evaluation
from paumer.models.graphs import Session, to_onnx, trace
from paumer.models.inference import View, WindowMean
from paumer.models.optimized import METHODS, Scope, compiled, inference_form, runner
from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Strategy
from paumer.strategies.criteria import of_two

GRAPHS = 10_000  # each size and batch is a graph; the compiler's default limit is a few

_forms: WeakKeyDictionary[Segmenter, dict[str, Segmenter]] = WeakKeyDictionary()


def callable_of(
    model: Segmenter,
    strategy: Strategy,
    scope: str,
    mode: str,
    evaluation: Evaluation | None = None,
    dtype: str = "float32",
) -> Callable[[Tensor], Tensor]:
    """A function of images that runs a network under a strategy.

    Args:
        model: in eval mode.
        strategy: the operating point.
        scope: output: `logits`, `labels` or `patch-logits`; `image`: class ids of full images.
        mode: `eager`; `optimized`, the inference form; `compile`, one graph for each shape; `cuda-graphs`, replayed
            without the host; or `onnxruntime`, exported at the first call for images of that size, in batches of any
            number.
        evaluation: the windows of full images.
        dtype: number type of the inference form; all others have that of the autocast around them.
    """
    if scope == "image":
        return on_full_images(callable_of(model, strategy, "logits", mode, dtype=dtype), evaluation or Evaluation())
    method = METHODS[cast(Scope, scope)]
    if mode == "optimized":
        return runner(form_of(model, dtype), strategy, method)
    if mode == "onnxruntime":
        return in_onnxruntime(model, strategy, method)

    def run(images: Tensor) -> Tensor:
        return getattr(model, method)(images, strategy)

    if mode == "eager":
        return run
    torch._dynamo.config.recompile_limit = GRAPHS
    return compiled(run, f"{method}_{id(run)}", mode)


def form_of(model: Segmenter, dtype: str) -> Segmenter:
    """The inference form of a network in a number type, one for all its operating points."""
    forms = _forms.setdefault(model, {})
    if dtype not in forms:
        forms[dtype] = inference_form(model, dtype)
    return forms[dtype]


def in_onnxruntime(model: Segmenter, strategy: Strategy, method: str) -> Callable[[Tensor], Tensor]:
    """A network under a strategy in onnxruntime; exported at the first call for images of a size."""
    sessions: dict[Size, Session] = {}

    def run(images: Tensor) -> Tensor:
        size = int(images.shape[-2]), int(images.shape[-1])
        if size not in sessions:
            exported = to_onnx(trace(model, strategy, size, method))
            sessions[size] = Session(exported.SerializeToString(), images.device)
        return sessions[size](images)

    return run


def on_full_images(run: Callable[[Tensor], Tensor], evaluation: Evaluation) -> Callable[[Tensor], Tensor]:
    """A function of full images (batch, 3, height, width) that gives their class ids, at scale 1 and not mirrored.

    Args:
        run: from windows (any number, 3, height, width) to logits of their size.
        evaluation: the short side, the windows, and how many of them run at a time.
    """

    def label(images: Tensor) -> Tensor:
        height, width = int(images.shape[-2]), int(images.shape[-1])
        view = View(evaluation.seen_size((height, width)))
        seen, (rows, columns) = view.apply(images), evaluation.window_size(view.size)
        places = [(i, *corner) for i in range(len(seen)) for corner in evaluation.window_corners(view.size)]
        mean = WindowMean((len(seen), *view.size))
        for group in (places[first : first + evaluation.batch] for first in range(0, len(places), evaluation.batch)):
            windows = [seen[i, :, top : top + rows, left : left + columns] for i, top, left in group]
            for place, logits in zip(group, run(torch.stack(windows)), strict=True):
                mean.add(logits, *place)
        return of_two(view.invert(mean.value(), (height, width)), dim=1).max(dim=1).indices

    return label


def on_batches(run: Callable[[Tensor], Tensor], batches: Sequence[Tensor]) -> Callable[[], None]:
    """A call that runs all batches and keeps the output of only one at a time."""

    def run_all() -> None:
        for images in batches:
            run(images)

    return run_all


def with_explicit_attention(model: Segmenter) -> Segmenter:
    """A copy of the network that computes attention with the matrix of all pairs, as the published Segmenter."""
    other = copy.deepcopy(model)
    for module in other.modules():
        if hasattr(module, "fused_attn"):
            setattr(module, "fused_attn", False)  # noqa: B010, it is one of timm's attentions
    return other
