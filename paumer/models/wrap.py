"""Drop-in use: any plain timm vision transformer with any dense head pauses its patches at inference.

    model = paumer.wrap(vit, head, "3:0.4")
    logits = model(images)

The head reads the patches of `vit.forward_features`, as without pausing. Nothing is copied or changed: the wrapped
network holds the same modules, with the interface that strategies expect.
"""

import math
from collections.abc import Iterable, Mapping, Set
from copy import copy
from typing import Any, Literal, get_args

import torch
from timm.layers import Format
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from paumer.config.base import parse
from paumer.config.measuring import Evaluation
from paumer.config.network import STATISTICS, Normalization, Statistics
from paumer.models.backbones import REMEDY, obstacle_of, statistics
from paumer.models.encoder import Encoder
from paumer.models.trained import TrainedSegmenter, evaluation_of
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
) -> "PausingSegmenter":
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
    encoder = FeatureEncoder(_for_any_size(_check_plain(vit)))
    modules = _by_block(auxiliary)
    for block in modules:
        if not 1 <= block <= encoder.depth:
            raise PaumerError(f"auxiliary: no block {block} in a network of {encoder.depth} blocks")
    heads: dict[int, nn.Module]
    heads = {block: TokenHead(module, encoder.width, f"auxiliary[{block}]") for block, module in modules.items()}
    decoder: TokenHead | IdentityHead
    readout: nn.Module
    if layout == "tokens":
        decoder, readout = TokenHead(head, encoder.width, "head"), nn.Identity()
        heads = dict.fromkeys(range(1, encoder.depth + 1), LogitLens(encoder, decoder)) | heads
    else:
        shape = (1, encoder.width, *encoder.vit.patch_embed.grid_size)
        decoder, readout = IdentityHead(_count_classes(head, "map", shape, "head")), head
    for block in modules:
        if heads[block].classes != decoder.classes:
            raise PaumerError(
                f"auxiliary[{block}]: predicts {heads[block].classes} classes where the head predicts "
                f"{decoder.classes}; give it a module with as many"
            )
    wrapped = PausingSegmenter(
        encoder,
        decoder,
        heads,
        _frequencies(class_frequencies, max(2, decoder.classes)),
        evaluation=evaluation_of(evaluation),
        normalization=_normalization(normalization, vit),
    )
    wrapped.readout = readout
    for container in (wrapped, encoder, decoder, wrapped.heads, *heads.values()):
        container.training = vit.training  # what is inside keeps its own mode
    return wrapped.with_schedule(schedule, strategy, criterion)


class PausingSegmenter(TrainedSegmenter):
    """A vision transformer and a dense head under a strategy; `wrap` makes it.

    Attributes:
        readout: reads the map of all patches: the head of layout `map`, or the identity.
    """

    sub_patch = 1
    readout: nn.Module

    def finish(self, tokens: Tensor, state: State, strategy: Strategy) -> Tensor:
        """Logits as a map (batch, classes, any height, any width) from the tokens after the last block."""
        values = super().finish(tokens, state, strategy)
        state.add_macs(lambda: _try_out(self.readout, values[:1].shape)[1])
        return self.readout(values)

    def strategy_of(self, point: OperatingPoint) -> Strategy:
        """The strategy of an operating point.

        Raises:
            PaumerError: this network cannot run it; says so where that is because its head reads maps.
        """
        name, reads_maps = str(point), isinstance(self.decoder, IdentityHead)
        missing = [block for block in point.head_blocks if str(block) not in self.heads]
        if reads_maps and any(part.outputs_logits for part in point.parts):
            raise PaumerError(f"{name}: predicts patch by patch, but the head reads whole maps; use pause, or merge")
        if reads_maps and point.criterion == ORACLE:
            raise PaumerError(
                f"{name}: criterion oracle compares predictions of patches, which a head of maps gives not"
            )
        if reads_maps and missing and missing[0] <= self.encoder.depth:
            raise PaumerError(
                f"{name}: a head of maps cannot predict after block {missing[0]}, where patches may be missing; "
                f"give auxiliary={{{missing[0]}: module}} that predicts from tokens"
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


class IdentityHead(nn.Module):
    """Takes the place of a head of tokens where the head reads maps.

    Attributes:
        classes: number of classes that the head of maps predicts.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, patches: Tensor) -> Tensor:
        """From patches (batch, patches, width) to (batch, patches, 1, width)."""
        return patches.unsqueeze(2)

    def macs(self, patches: Count) -> Count:
        """Multiply-accumulates of one image: none."""
        return 0.0


class LogitLens(nn.Module):
    """The network's final norm and head, applied after any block; not trained for it.

    Both are no submodules, so that their weights have one name in the network.
    """

    sub_patch = 1
    adapter = None

    def __init__(self, encoder: FeatureEncoder, head: TokenHead) -> None:
        super().__init__()
        self.network = (encoder, head)

    def forward(self, patches: Tensor) -> Tensor:
        """From patches (batch, patches, width) to logits (batch, patches, 1, classes)."""
        encoder, head = self.network
        return head(encoder.norm(patches))

    def macs(self, patches: Count) -> Count:
        """Multiply-accumulates of one image with this number of patches, or of each of several images."""
        return self.network[1].macs(patches)


def _by_block(auxiliary: Any) -> dict[int, nn.Module]:
    """Auxiliary modules by block number; text is converted, as the keys of a `ModuleDict` are text.

    Raises:
        PaumerError: they are no such mapping.
    """
    if auxiliary is None:
        return {}
    if not isinstance(auxiliary, Mapping | nn.ModuleDict):
        raise PaumerError(f"auxiliary: {type(auxiliary).__name__}; give modules by their blocks, {{3: module}}")
    blocks = {int(str(block)): module for block, module in auxiliary.items() if str(block).isdecimal()}
    if len(blocks) < len(auxiliary):
        raise PaumerError(f"auxiliary: {', '.join(map(repr, auxiliary))}; number each block once, from 1")
    return blocks


def _frequencies(given: Frequencies, classes: int) -> tuple[float, ...]:
    """The share of pixels of each class; empty where none are given.

    Raises:
        PaumerError: they are no shares of this number of classes.
    """
    if isinstance(given, Set):
        raise PaumerError("class_frequencies: a set has no order; give a list, in the order of the classes")
    try:
        values = given.values() if isinstance(given, Mapping) else given
        shares = tuple(float(share) for share in values)
    except (TypeError, ValueError):
        raise PaumerError(
            f"class_frequencies: {type(given).__name__} holds no numbers; give one for each class"
        ) from None
    if shares and len(shares) != classes:
        raise PaumerError(f"class_frequencies: {len(shares)} for {classes} classes; give one for each")
    if shares and not (all(0 <= share < math.inf for share in shares) and any(shares)):
        raise PaumerError(f"class_frequencies: {list(shares)}; give shares of pixels, 0 or more, not all of them 0")
    return shares


def _normalization(given: Any, vit: nn.Module) -> Normalization | None:
    """The statistics of images; `auto`: those of timm's configuration of the ViT, None where it has none.

    Raises:
        PaumerError: it is none.
    """
    if isinstance(given, str) and given == "auto":
        source = getattr(vit, "pretrained_cfg", None) or {}
        try:
            return statistics(source["mean"], source["std"])
        except (KeyError, TypeError, ValueError):  # none, or of other channels
            return None
    if isinstance(given, Mapping):
        return parse(Statistics, given, "normalization")
    if not isinstance(given, Statistics) and not (isinstance(given, str) and given in STATISTICS):
        raise PaumerError(f"normalization: {given!r}; use auto, imagenet, half, or {{'mean': ..., 'std': ...}}")
    return given


def _check_plain(vit: Any) -> VisionTransformer:
    """Refuse networks that the encoder would not run as timm does."""
    if obstacle := obstacle_of(vit):
        raise PaumerError(f"vit: {obstacle}; {REMEDY}")
    if vit.patch_embed.patch_size[0] != vit.patch_embed.patch_size[1]:
        raise PaumerError(f"vit: patches of {vit.patch_embed.patch_size} pixels are not square; use square ones")
    return vit


def _for_any_size(vit: VisionTransformer) -> VisionTransformer:
    """The same network for images of any size, which `dynamic_img_size=True` would have made; shares all weights."""
    if vit.dynamic_img_size:
        return vit
    patch_embed, view = copy(vit.patch_embed), copy(vit)
    patch_embed.flatten, patch_embed.output_fmt, patch_embed.strict_img_size = False, Format.NHWC, False
    view._modules = {**vit._modules, "patch_embed": patch_embed}
    return view


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
def _try_out(head: nn.Module, shape: tuple[int, ...]) -> tuple[Any, float]:
    """The output of a head for zeros of `shape`, and its multiply-accumulates; the head stays as it is."""
    like = next(head.parameters(), torch.empty(0))
    modes = [(module, module.training) for module in head.modules()]
    try:
        with FlopCounterMode(display=False) as counter:
            output = head.eval()(torch.zeros(shape, dtype=like.dtype, device=like.device))
    finally:
        for module, training in modes:
            module.training = training
    return output, counter.get_total_flops() / 2
