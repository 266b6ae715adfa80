"""The inference form of a network: a copy for one image size, batch size and number type, in which a pass does less.

Weights are in the number type itself, so that no pass converts them as autocast does; tokens enter it once they are
embedded. Embedding, final norms and classifiers stay float32: they cost little, and decide between near classes. What
is folded is folded exactly, up to rounding: LayerScale into the layer before it; in an adapter the residual around the
convolution into the middle of its kernel, and the last bias into the matrix before it. Patches that pause are decoded
once, where a head predicts by the decoder.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import FunctionType
from typing import Any, ClassVar, Literal, TypeVar, cast, get_args

import torch
from timm.models.eva import EvaBlock
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional

from paumer.config.base import Size
from paumer.models.base import EncoderDecoder
from paumer.models.blocks import has_halves
from paumer.models.heads import Adapter, AdapterLayer, DecoderHead, LinearHead, MaskTransformer
from paumer.strategies.contract import Strategy
from paumer.strategies.criteria import entropy_order
from paumer.strategies.notation import Schedule
from paumer.strategies.pause import Pause
from paumer.strategies.reductions import KeptTokens
from paumer.strategies.state import State
from paumer.strategies.tokens import TokenPositions
from paumer.system.errors import PaumerError
from paumer.system.machine import fast_at_bfloat16

NumberType = Literal["auto", "float32", "bfloat16"]
Mode = Literal["eager", "compile", "cuda-graphs"]
Scope = Literal["logits", "labels", "patch-logits"]
METHODS: dict[Scope, str] = {"logits": "forward", "labels": "predict_labels", "patch-logits": "patch_logits"}
CONSTANT = 2.0  # bias of a hidden unit that is always the same
ALIGNED = 16  # hidden units come in multiples of this: rows of whole cache lines
Run = Callable[[Tensor], Tensor]
Network = TypeVar("Network", bound=EncoderDecoder)


class Optimized:
    """A network in inference form; `Segmenter.optimized` makes it.

    Attributes:
        network: the copy.
        runs: its schedules as they were given, each a function of images.
        shape: of the images that it takes, (batch, channels, height, width).
    """

    def __init__(
        self,
        network: EncoderDecoder,
        size: Size,
        batch: int,
        strategies: Mapping[str, Strategy],
        dtype: NumberType,
        mode: Mode,
        output: Scope,
    ) -> None:
        for name, value, possible in (("dtype", dtype, NumberType), ("mode", mode, Mode), ("output", output, Scope)):
            if value not in get_args(possible):
                raise PaumerError(f"{name}: {value!r} is unknown; use {', '.join(get_args(possible))}")
        if mode == "cuda-graphs" and network.device.type != "cuda":
            raise PaumerError("mode cuda-graphs: needs a CUDA device; use eager or compile")
        self.shape = (batch, channels_of(network), *size)
        self.network = inference_form(network, dtype)
        self.runs: dict[str, Run] = {}
        for schedule, strategy in strategies.items():
            run = runner(self.network, strategy, METHODS[output])
            self.runs[schedule] = run if mode == "eager" else compiled(run, f"run_{len(self.runs)}", mode)

    def __getitem__(self, schedule: str | Schedule) -> Run:
        """The network at one of its schedules, a function of images.

        Raises:
            PaumerError: it is none of them.
        """
        if str(schedule) not in self.runs:
            raise PaumerError(f"schedule {schedule}: not in this inference form; use {', '.join(self.runs)}")
        return partial(self._call, self.runs[str(schedule)])

    @torch.inference_mode()
    def _call(self, run: Run, images: Tensor) -> Tensor:
        """The output for images of the shape that compiled graphs are made for."""
        if tuple(images.shape) != self.shape:
            raise PaumerError(f"images: {tuple(images.shape)}; this inference form takes {self.shape}")
        return run(images)

    def run(self, images: Tensor, schedule: str | Schedule = "dense") -> Tensor:
        """The output for images (batch, 3, height, width), uint8 or normalised, at one of the schedules.

        With CUDA graphs it is valid until the next call.

        Raises:
            PaumerError: images of another shape, or a schedule that was not named.
        """
        return self[schedule](images)


def runner(form: EncoderDecoder, strategy: Strategy, method: str) -> Run:
    """A network in inference form under a strategy, as a function of images.

    Args:
        form: as `inference_form` gives it; images are normalised by one call.
        strategy: the operating point.
        method: of the network, called with images and strategy.
    """
    strategy, call, normalize = lean(strategy, form), getattr(form, method), _normalizer(form)

    def run(images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            return call(normalize(images), strategy)

    return run


def _normalizer(form: EncoderDecoder) -> Run:
    """What normalises images of uint8 by one call; `Segmenter.normalize` where it would refuse them."""
    mean, std = form.mean, form.std
    if mean is None or std is None or channels_of(form) != len(mean):
        return form.normalize
    scale, shift = 1 / std, -mean / std
    return lambda images: torch.addcmul(shift, images, scale) if images.dtype == torch.uint8 else images


def channels_of(network: EncoderDecoder) -> int:
    """Channels of the images that a network takes."""
    return int(network.encoder.vit.patch_embed.proj.weight.shape[1])


def compiled(run: Run, name: str, mode: str) -> Run:
    """A function compiled for the shapes that it is called with, in modes `compile` and `cuda-graphs`.

    It gets code of its own: the compiler goes through all that it compiled of the same code at each call.
    """
    function = cast(FunctionType, run)
    code = function.__code__.replace(co_name=name)
    own = FunctionType(code, function.__globals__, name, function.__defaults__, function.__closure__)
    return torch.compile(own, dynamic=False, mode="reduce-overhead" if mode == "cuda-graphs" else "default")


def inference_form(network: Network, dtype: str = "auto") -> Network:
    """A copy of a network with less to do in a pass; of no use for training.

    Args:
        network: stays as it is.
        dtype: number type between embedding and final norms; `auto` is bfloat16 where the device is fast at it.
    """
    if dtype == "auto":
        dtype = "bfloat16" if fast_at_bfloat16(network.device) else "float32"
    form = copy.deepcopy(network).float().eval().requires_grad_(False)
    form.encoder.kept_positions = {}
    with torch.inference_mode(False), torch.no_grad():
        for block in form.blocks:
            if has_halves(block):
                fold_scales(cast(Block, block))
        for adapter in dict.fromkeys(cast(Any, head).adapter for head in form.heads.values()):
            if isinstance(adapter, Adapter):
                adapter.layers = nn.ModuleList(FoldedLayer(cast(AdapterLayer, layer)) for layer in adapter.layers)
        if dtype != "float32":
            _convert(form, getattr(torch, dtype))
    return form


def fold_scales(block: Block | EvaBlock) -> None:
    """Multiply the scales of a block's branches into their last layers."""
    for branch, name, half in ((block.attn, "proj", 1), (block.mlp, "fc2", 2)):
        layer, scale = getattr(branch, name, None), getattr(block, f"ls{half}", None)
        factors = getattr(block, f"gamma_{half}", None) if scale is None else getattr(scale, "gamma", None)
        if isinstance(layer, nn.Linear) and factors is not None:
            layer.weight.mul_(factors[:, None])
            if layer.bias is not None:
                layer.bias.mul_(factors)
            setattr(block, *((f"gamma_{half}", None) if scale is None else (f"ls{half}", nn.Identity())))


class Cast(nn.Module):
    """Converts to a number type."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, values: Tensor) -> Tensor:
        """The same values in the number type."""
        return values.to(self.dtype)


def _convert(form: EncoderDecoder, dtype: torch.dtype) -> None:
    """Give blocks, adapters and a mask transformer another number type; what is around them converts at its ends."""
    vit = form.encoder.vit
    form.blocks.to(dtype)
    vit.norm_pre = nn.Sequential(vit.norm_pre, Cast(dtype))
    if isinstance(form.decoder, MaskTransformer):
        last = form.decoder.mask_norm
        for module in (vit.norm, vit.fc_norm, form.decoder):
            module.to(dtype)
        setattr(form.decoder, "mask_norm", nn.Sequential(Cast(torch.float32), last.float()))  # noqa: B010
    else:
        vit.norm = nn.Sequential(Cast(torch.float32), vit.norm)
    for head in form.heads.values():
        if not isinstance(head, DecoderHead):
            head.register_forward_pre_hook(lambda _, values: (values[0].float(),))
        if getattr(head, "adapter", None) is not None:
            cast(nn.Module, head.adapter).to(dtype)


class FoldedLayer(nn.Module):
    """A layer of an adapter in five calls: norm, convolution, product, activation, product.

    The convolution adds its input by its kernel, one more in the middle. One hidden unit sees nothing but its bias, so
    that its weights can be the last bias, and one call multiplies, and adds that bias and the patches.
    """

    def __init__(self, layer: AdapterLayer) -> None:
        super().__init__()
        first, last = (cast(nn.Linear, layer.network[number]) for number in (0, 2))
        self.macs = layer.macs
        self.norm, self.context, self.first = layer.norm, layer.context, nn.Linear(1, 1)
        if self.context is not None:
            self.context.to(memory_format=torch.channels_last)  # as tokens lie in memory: else a batch of one is copied
            middle = self.context.weight.shape[-1] // 2
            self.context.weight[..., middle, middle] += 1
        hidden = first.out_features
        missing = ALIGNED - hidden % ALIGNED
        self.first.weight = nn.Parameter(functional.pad(first.weight, (0, 0, 0, missing)), requires_grad=False)
        self.first.bias = nn.Parameter(functional.pad(first.bias, (0, missing)), requires_grad=False)
        self.first.bias[hidden] = CONSTANT
        self.last = nn.Parameter(functional.pad(last.weight.t(), (0, 0, 0, missing)), requires_grad=False)
        self.last[hidden] = last.bias / functional.gelu(torch.tensor(CONSTANT))

    def forward(self, patches: Tensor, positions: TokenPositions) -> Tensor:
        """From patches (batch, patches, width) to such that are nearer to the decoder's."""
        patches = patches.contiguous()
        mixed = self.norm(patches)
        if self.context is not None:
            mixed = positions.from_map(self.context(positions.to_map(mixed)))
        hidden = functional.gelu(self.first(mixed))
        return torch.addmm(patches.flatten(0, 1), hidden.flatten(0, 1), self.last).view_as(patches)


def lean(strategy: Strategy, network: EncoderDecoder) -> Strategy:
    """The strategy, or where it pauses at fixed shares by heads that predict as the decoder does, a leaner one."""
    fixed = type(strategy) is Pause and isinstance(strategy.parameters, Schedule)
    heads = [network.heads[str(block)] for block in strategy.head_blocks] if fixed else []
    if heads and isinstance(network.decoder, LinearHead) and all(isinstance(head, DecoderHead) for head in heads):
        return LeanPause(strategy.parameters, strategy.criterion_name)
    return strategy


class DecodedTokens(KeptTokens):
    """The others pause: `values` are their logits, (batch, before, cells, classes), which nothing else reads."""

    of_logits: ClassVar[bool] = True

    def restore(self, values: Tensor) -> Tensor:
        """Write the logits of the patches that ran among those of the others."""
        self.values.view(-1, *self.values.shape[2:]).index_copy_(0, self.kept.rows, values.flatten(0, 1))
        return self.values


@dataclass(frozen=True)
class LeanPause(Pause):
    """Pausing at fixed shares, where what a head predicts of a paused patch is what the decoder would."""

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Pause the least uncertain patches; returns prefix and running patches."""
        assert isinstance(self.parameters, Schedule)
        logits = state.predict(block, tokens)
        by_entropy = self.criterion_name == "entropy"
        needs = entropy_order(logits) if by_entropy else state.scores(self.criterion_name, block, tokens)
        count = state.num_kept(self.name, self.parameters, block, state.running(tokens))
        kept = state.keep(tokens, needs.topk(count, dim=1, sorted=False).indices)
        return state.apply(DecodedTokens(self.name, kept, logits), tokens)
