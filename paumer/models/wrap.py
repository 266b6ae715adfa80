"""Drop-in use: any plain timm vision transformer with any dense head pauses its patches at inference.

The head reads the patches of `vit.forward_features`, as without pausing. Nothing is copied or changed: the wrapped
network holds the same modules, with the interface that strategies expect.
"""

import math
from collections.abc import Iterable, Mapping, Set
from copy import copy
from inspect import signature
from typing import Any, Literal, get_args

import torch
from timm.layers import Format
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from paumer.config.base import Section, parse
from paumer.config.measuring import Evaluation, read_evaluation
from paumer.config.network import Normalization
from paumer.models.backbones import obstacle_of, statistics
from paumer.models.encoder import Encoder
from paumer.models.heads import DecoderHead
from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Strategy
from paumer.strategies.criteria import ORACLE
from paumer.strategies.notation import Schedule
from paumer.strategies.registry import OperatingPoint
from paumer.strategies.state import State
from paumer.strategies.tokens import Count
from paumer.system.errors import PaumerError, summary

Frequencies = Iterable[float] | Mapping[str, float]  # arrays and tensors, too
Layout = Literal["tokens", "map"]
EXPECTED: dict[Layout, str] = {
    "tokens": "(batch, patches, {width}) to (batch, patches, classes)",
    "map": "(batch, {width}, grid height, grid width) to (batch, classes, any height, any width)",
}


def wrap(
    vit: nn.Module,
    head: nn.Module,
    schedule: str | Schedule,
    *,
    strategy: str = "pause",
    criterion: str = "",
    layout: Layout = "tokens",
    auxiliary: Mapping[int, nn.Module] | nn.ModuleDict | None = None,
    class_frequencies: Frequencies = (),
    evaluation: Evaluation | Mapping[str, Any] | None = None,
    normalization: Normalization | Mapping[str, Any] = "auto",
) -> Segmenter:
    """Run a vision transformer and a dense head under a schedule.

    Args:
        vit: a plain vision transformer of timm, built for one image size or for any.
        head: from the final patches to class logits; a single one is that of a sigmoid. With layout `tokens` it maps
            (batch, patches, width) to (batch, patches, classes); with layout `map` (batch, width, grid height, grid
            width) to (batch, classes, any height, any width).
        schedule: where and how much, `3:0.4`; `dense` for every patch through every block.
        strategy: a registered name, or a composition such as `merge>pause`.
        criterion: by which patches are chosen; empty: the strategy's usual one.
        layout: what the head reads.
        auxiliary: the modules that predict at intermediate blocks, by the number of the block: from the patches there,
            without a norm, (batch, patches, width) to (batch, patches, classes). At other blocks a head of tokens
            predicts itself, through the final norm; a head of maps cannot, since patches may be missing.
        class_frequencies: of the pixels in training, one for each class (for one logit: of 0, and of 1), for criteria
            `balanced` and `smoothed`.
        evaluation: how `segment` sees images (windows, short side, scales); by default whole.
        normalization: of images of uint8: `imagenet`, `half`, or `mean` and `std`; by default that of timm's
            configuration of the ViT.

    Returns:
        A network from images (batch, channels, height, width) of any size, of uint8 or normalised as the ViT expects,
        to logits (batch, classes, height, width). It shares all weights with `vit` and `head`, and changes neither.

    Raises:
        PaumerError: the ViT is not supported, a head does not fit, or the operating point is not possible.
    """
    if layout not in get_args(Layout):
        raise PaumerError(f"layout {layout!r} is unknown; use {' or '.join(get_args(Layout))}")
    if obstacle := obstacle_of(vit):
        raise PaumerError(f"vit: {obstacle}")
    encoder = FeatureEncoder(_for_any_size(vit))
    given = auxiliary_heads(auxiliary, encoder)
    heads: dict[int, TokenHead | DecoderHead] = {**given}
    kind: type[Segmenter] = Segmenter
    decoder: TokenHead | MapHead
    if layout == "tokens":
        decoder = TokenHead(head, encoder.width, "head")
        heads = {**dict.fromkeys(range(1, encoder.depth + 1), DecoderHead(encoder, decoder)), **given}
    else:
        kind, decoder = MapSegmenter, MapHead(head, (encoder.width, *encoder.vit.patch_embed.grid_size), "head")
    require_classes(given, decoder.classes)
    model = kind(
        encoder,
        decoder,
        heads,
        _frequencies(class_frequencies, max(2, decoder.classes)),
        _normalization(normalization, vit),
        read_evaluation(evaluation or {}, "evaluation"),
    )
    for container in (model, encoder, decoder, model.heads, *heads.values()):
        container.training = vit.training  # what is inside keeps its own mode
    return model.with_schedule(schedule, strategy, criterion)


class MapSegmenter(Segmenter):
    """A Segmenter whose decoder reads the map of all patches, and so cannot predict where some are missing."""

    def classify(self, patches: Tensor, state: State) -> Tensor:
        """Norm patches (batch, patches, width) for the decoder, (batch, patches, 1, width)."""
        return self.encoder.norm(patches).unsqueeze(2)

    def finish(self, tokens: Tensor, state: State, strategy: Strategy) -> Tensor:
        """Logits as a map (batch, classes, any height, any width) from the tokens after the last block."""
        others = self.beside_patches(tokens, state)
        inputs = (super().finish(tokens, state, strategy), *others)
        state.add_macs(lambda: _try_out(self.decoder, *(one[:1].shape for one in inputs))[1])
        return self.decoder(*inputs)

    def beside_patches(self, tokens: Tensor, state: State) -> tuple[Tensor, ...]:
        """What the decoder reads beside the map of the patches, of the tokens after the last block."""
        return ()

    def strategy_of(self, point: OperatingPoint) -> Strategy:
        """The strategy of an operating point.

        Raises:
            PaumerError: this network cannot run it.
        """
        if any(part.outputs_logits for part in point.parts):
            raise PaumerError(f"{point}: predicts patch by patch, but the head reads whole maps; use pause, or merge")
        if point.criterion == ORACLE:
            raise PaumerError(
                f"{point}: criterion oracle compares predictions of patches, which a head of maps gives not"
            )
        for block in point.head_blocks:
            if str(block) not in self.heads and block <= self.encoder.depth:
                raise PaumerError(
                    f"{point}: a head of maps cannot predict after block {block}, where patches may be missing; give "
                    f"auxiliary={{{block}: module}} that predicts from tokens"
                )
        return super().strategy_of(point)


class FeatureEncoder(Encoder):
    """An encoder whose final patches are those of timm's `forward_features`; a norm after pooling is none of it."""

    def norm(self, tokens: Tensor) -> Tensor:
        """The norm after the last block."""
        return self.vit.norm(tokens)


class TokenHead(nn.Module):
    """A head of tokens given by the user, with the interface of heads and decoders.

    Attributes:
        classes: number of classes that it predicts.
    """

    sub_patch = 1
    adapter = None

    def __init__(self, head: nn.Module, width: int, name: str) -> None:
        super().__init__()
        self.head, self.width = head, width
        self.classes = _count_classes(head, "tokens", (1, 2, width), name)

    def forward(self, patches: Tensor) -> Tensor:
        """From patches (batch, patches, width) to logits (batch, patches, 1, classes)."""
        return self.head(patches).unsqueeze(2)

    def macs(self, patches: Count) -> Count:
        """Multiply-accumulates of one image with this number of patches, or of each of several images."""
        if isinstance(patches, Tensor):
            return torch.tensor([self.macs(count) for count in patches.tolist()], dtype=torch.float64)
        return _try_out(self.head, (1, int(patches), self.width))[1]


class MapHead(nn.Module):
    """A head of maps given by the user.

    Attributes:
        classes: number of classes that it predicts.
    """

    def __init__(self, head: nn.Module, shape: tuple[int, int, int], name: str) -> None:
        super().__init__()
        self.head = head
        self.classes = _count_classes(head, "map", (1, *shape), name)

    def forward(self, features: Tensor) -> Tensor:
        """From maps (batch, width, grid height, grid width) to logits (batch, classes, any height, any width)."""
        return self.head(features)


class _Options(Section):
    normalization: Normalization


def auxiliary_heads(
    auxiliary: Mapping[int, nn.Module] | nn.ModuleDict | None, encoder: Encoder
) -> dict[int, TokenHead]:
    """Modules that predict at blocks of an encoder, as its heads.

    Raises:
        PaumerError: they are no such mapping, or one does not predict from tokens.
    """
    modules = _by_block(auxiliary, encoder.depth)
    return {block: TokenHead(module, encoder.width, f"auxiliary[{block}]") for block, module in modules.items()}


def require_classes(heads: Mapping[int, TokenHead], classes: int) -> None:
    """Refuse heads that predict another number of classes than the decoder.

    Raises:
        PaumerError: one does.
    """
    for block, head in heads.items():
        if head.classes != classes:
            raise PaumerError(
                f"auxiliary[{block}]: predicts {head.classes} classes where the head predicts {classes}; give "
                "it a module with as many"
            )


def _by_block(auxiliary: Any, depth: int) -> dict[int, nn.Module]:
    """Auxiliary modules by block number; text is converted, as the keys of a `ModuleDict` are text.

    Raises:
        PaumerError: they are no such mapping.
    """
    if not isinstance(auxiliary, Mapping | nn.ModuleDict | None):
        raise PaumerError(f"auxiliary: {type(auxiliary).__name__}; give modules by their blocks, {{3: module}}")
    given = dict((auxiliary or {}).items())
    blocks = {int(str(block)): module for block, module in given.items() if str(block).isdecimal()}
    if len(blocks) < len(given) or not all(1 <= block <= depth for block in blocks):
        raise PaumerError(f"auxiliary: {', '.join(map(repr, given))}; number each block once, from 1 to {depth}")
    return blocks


def _frequencies(given: Frequencies, classes: int) -> tuple[float, ...]:
    """The share of pixels of each class; empty where none are given.

    Raises:
        PaumerError: they are no shares of this number of classes.
    """
    try:
        shares = tuple(float(share) for share in (given.values() if isinstance(given, Mapping) else given))
    except (TypeError, ValueError):
        shares = (math.nan,)
    valid = len(shares) == classes and all(0 <= share < math.inf for share in shares) and any(shares)
    if shares and (isinstance(given, Set) or not valid):  # a set has no order
        raise PaumerError(
            f"class_frequencies: {type(given).__name__} of {list(shares)}; give a list of {classes} shares of pixels, "
            "one for each class, 0 or more and not all of them 0"
        )
    return shares


def _normalization(given: Any, vit: nn.Module) -> Normalization | None:
    """The statistics of images; `auto`: those of timm's configuration of the ViT, None where it has none.

    Raises:
        PaumerError: it is none.
    """
    chosen: Normalization = parse(_Options, {"normalization": given}, "wrap").normalization
    if chosen != "auto":
        return chosen
    source = getattr(vit, "pretrained_cfg", None) or {}
    try:
        return statistics(source["mean"], source["std"])
    except (KeyError, TypeError, ValueError):  # none, or of other channels
        return None


def _for_any_size(vit: VisionTransformer) -> VisionTransformer:
    """The same network for images of any size, which `dynamic_img_size=True` would have made; shares all weights."""
    if vit.dynamic_img_size:
        return vit
    patch_embed, view = copy(vit.patch_embed), copy(vit)
    patch_embed.flatten, patch_embed.output_fmt, patch_embed.strict_img_size = False, Format.NHWC, False
    view._modules = {**vit._modules, "patch_embed": patch_embed}
    if (rope := getattr(vit, "rope", None)) is not None:
        view._modules["rope"] = _for_any_grid(rope)
    return view


def _for_any_grid(rope: nn.Module) -> nn.Module:
    """The same rotary embedding of timm's for grids of any size; it has no weights."""
    options = {name: getattr(rope, name) for name in signature(type(rope)).parameters if hasattr(rope, name)}
    return type(rope)(**options | {"feat_shape": None}).to(next(rope.buffers())).train(rope.training)


def _count_classes(head: nn.Module, layout: Layout, shape: tuple[int, ...], name: str) -> int:
    """The number of classes that a head predicts from an input of `shape`.

    Raises:
        PaumerError: it does not take that input, or does not return logits of its layout.
    """
    if not isinstance(head, nn.Module):
        raise PaumerError(f"{name}: {type(head).__name__}; give a torch.nn.Module")
    width, axis = (shape[2], 2) if layout == "tokens" else (shape[1], 1)
    remedy = f"it must map {EXPECTED[layout].format(width=width)} (layout {layout!r})"
    try:
        output, _ = _try_out(head, shape)
    except Exception as error:  # it may be any module
        raise PaumerError(f"{name}: fails on an input of shape {shape} ({summary(error)}); {remedy}") from None
    if not isinstance(output, Tensor):
        raise PaumerError(f"{name}: gives {type(output).__name__} instead of a tensor; {remedy}")
    if output.ndim != len(shape) or output.shape[:axis] != shape[:axis]:
        raise PaumerError(f"{name}: gives {tuple(output.shape)} for an input of shape {shape}; {remedy}")
    if not output.shape[axis]:
        raise PaumerError(f"{name}: predicts no class; {remedy}")
    return int(output.shape[axis])


@torch.no_grad()
def _try_out(head: nn.Module, *shapes: tuple[int, ...]) -> tuple[Any, float]:
    """The output of a head for zeros of these shapes, and its multiply-accumulates; the head stays as it is."""
    like = next(head.parameters(), torch.empty(0))
    modes = [(module, module.training) for module in head.modules()]
    try:
        with FlopCounterMode(display=False) as counter:
            output = head.eval()(*(torch.zeros(shape, dtype=like.dtype, device=like.device) for shape in shapes))
    finally:
        for module, training in modes:
            module.training = training
    return output, counter.get_total_flops() / 2
