"""Load the networks that the authors of Segmenter publish (github.com/rstrudel/segmenter).

One is a folder with `checkpoint.pth`, whose entry `model` holds the weights, and `variant.yml`, which describes the
network (`net_kwargs`) and the windows it was evaluated with (`inference_kwargs`).
"""

import logging
import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, ConfigDict, PositiveInt, model_validator
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from paumer.config.base import PositiveSize, Section, StrictLoader, both_sides, load_yaml, parse
from paumer.config.measuring import Evaluation
from paumer.config.network import Normalization
from paumer.models.encoder import Encoder, Grid
from paumer.models.heads import LinearHead, MaskTransformer
from paumer.models.segmenter import Segmenter
from paumer.models.weights import find_folder, read_tensors, require_same, require_weights, unreadable
from paumer.system.errors import PaumerError
from paumer.system.files import read_bytes

LOGGER = logging.getLogger("paumer")
CHECKPOINT, VARIANT = "checkpoint.pth", "variant.yml"

REMEDY = "copy it from the published network again"

NORMALIZATIONS: dict[str, Normalization] = {"vit": "half", "deit": "imagenet"}
NAMES = {  # how names begin here, and there; all others are the same
    "encoder.vit.": "encoder.",
    "decoder.linear.": "decoder.head.",
    "decoder.class_tokens": "decoder.cls_emb",
    "decoder.project.": "decoder.proj_dec.",
    "decoder.norm.": "decoder.decoder_norm.",
    "decoder.project_patches.weight": "decoder.proj_patch",
    "decoder.project_classes.weight": "decoder.proj_classes",
}
TRANSPOSED = ("decoder.proj_patch", "decoder.proj_classes")  # there tokens are multiplied by the matrix itself
CLASSIFIER = re.compile(r"encoder\.head(_dist)?\.")  # of images, left from pretraining


def load_segmenter(folder: str | Path) -> Segmenter:
    """Load a published Segmenter; its logits are those of the original implementation.

    The weights of its classification heads are ignored, with a warning to the logger `paumer` that names them.

    Args:
        folder: where `checkpoint.pth` and `variant.yml` lie. Reading the checkpoint runs none of its content.

    Returns:
        The network on the CPU in eval mode, without auxiliary heads; its `evaluation` are the windows of the variant.

    Raises:
        PaumerError: a file is missing, damaged or unsafe, the decoder is unknown, or the two files do not fit.
    """
    folder = find_folder(folder, f"name one that holds {CHECKPOINT} and {VARIANT}")
    variant = _read_variant(folder / VARIANT)
    weights = _read_weights(folder / CHECKPOINT)
    network = variant.net_kwargs
    windows = variant.inference_kwargs or _Inference(window_size=network.image_size, window_stride=network.image_size)
    evaluation: Evaluation = parse(
        Evaluation,
        {"inference": "sliding", "window": windows.window_size, "stride": windows.window_stride},
        str(folder / VARIANT),
    )
    encoder, decoder = _build(network, _native_grid(network, weights))
    normalization = NORMALIZATIONS[network.normalization]
    model = Segmenter(encoder, decoder, {}, normalization=normalization, evaluation=evaluation)
    model.load_state_dict(_renamed(weights, model, folder / CHECKPOINT))
    return model.eval()


Pair = Annotated[PositiveSize, BeforeValidator(both_sides)]


class _Part(Section):
    """A part of `variant.yml`; what only training needs is skipped."""

    model_config = ConfigDict(extra="ignore")


class _Decoder(_Part):
    name: Literal["linear", "mask_transformer"]
    n_layers: PositiveInt = 2


class _Network(_Part):
    normalization: Literal["vit", "deit"]
    distilled: bool = False
    image_size: Pair
    patch_size: PositiveInt
    d_model: PositiveInt
    n_heads: PositiveInt
    n_layers: PositiveInt
    n_cls: PositiveInt
    decoder: _Decoder

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> "_Network":
        if self.d_model % self.n_heads:
            raise ValueError(f"n_heads {self.n_heads} does not divide d_model {self.d_model}; mend one of them")
        return self


class _Inference(_Part):
    window_size: Pair
    window_stride: Pair


class _Variant(_Part):
    net_kwargs: _Network
    inference_kwargs: _Inference | None = None


class _VariantLoader(StrictLoader):
    """A loader that also reads Python's tuples, as which published files may write sizes."""

    def sequence(self, node: yaml.SequenceNode) -> list[Any]:
        """A tuple, read as a list."""
        return self.construct_sequence(node)


_VariantLoader.add_constructor("tag:yaml.org,2002:python/tuple", _VariantLoader.sequence)


def _read_variant(path: Path) -> _Variant:
    try:
        content = load_yaml(read_bytes(path).decode(), _VariantLoader)
    except PaumerError:
        raise
    except OSError as error:
        raise PaumerError(f"{path}: {error.strerror or error}; {REMEDY}") from None
    except ValueError as error:
        raise PaumerError(f"{path}: not valid YAML ({error}); {REMEDY}") from None
    return parse(_Variant, content, str(path))


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights under the names they were published with."""
    try:
        checkpoint = read_tensors(path)
    except PaumerError:
        raise
    except Exception as error:  # damaged files raise whatever their bytes lead to
        raise PaumerError(f"{path}: weights cannot be read ({unreadable(error)}); {REMEDY}") from None
    weights = checkpoint.get("model") if isinstance(checkpoint, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise PaumerError(f"{path}: has no weights under the key 'model'; use a checkpoint of a published Segmenter")
    return weights


def _native_grid(network: _Network, weights: dict[str, Tensor]) -> Grid:
    """The grid that the position embeddings were learned on: that of `image_size`, or else a square one."""
    grid = network.image_size[0] // network.patch_size, network.image_size[1] // network.patch_size
    positions = weights.get("encoder.pos_embed")
    if positions is None or positions.ndim != 3:
        return grid  # an error when the weights are checked
    count = positions.shape[1] - (2 if network.distilled else 1)
    side = math.isqrt(max(0, count))
    return (side, side) if grid[0] * grid[1] != count == side**2 else grid


def _build(network: _Network, grid: Grid) -> tuple[Encoder, nn.Module]:
    """Build encoder, with position embeddings for `grid`, and decoder."""
    vit = (VisionTransformerDistilled if network.distilled else VisionTransformer)(
        img_size=(grid[0] * network.patch_size, grid[1] * network.patch_size),
        patch_size=network.patch_size,
        embed_dim=network.d_model,
        depth=network.n_layers,
        num_heads=network.n_heads,
        num_classes=0,
        dynamic_img_size=True,
        norm_layer=nn.LayerNorm,  # torch's eps of 1e-5, unlike timm's
    )
    decoder: nn.Module
    if network.decoder.name == "linear":
        decoder = LinearHead(network.d_model, network.n_cls)
    else:
        decoder = MaskTransformer(network.d_model, network.n_cls, network.decoder.n_layers)
    return Encoder(vit, resampling="bilinear"), decoder


def _renamed(weights: dict[str, Tensor], model: nn.Module, path: Path) -> dict[str, Tensor]:
    """The weights under our names, all of them checked; classification heads are left out."""
    names = {_published_name(name): name for name in model.state_dict()}
    ignored = [name for name in weights if CLASSIFIER.match(name)]
    used = {name: value for name, value in weights.items() if name not in ignored}
    try:
        require_same(used, {name: model.state_dict()[ours] for name, ours in names.items()})
        require_weights(used)
    except ValueError as error:
        raise PaumerError(f"{path}: weights do not fit {VARIANT} ({error}); use the two files of one network") from None
    if ignored:
        LOGGER.warning("%s: ignored the classification heads: %s", path, ", ".join(ignored))
    return {names[name]: value.T if name in TRANSPOSED else value for name, value in used.items()}


def _published_name(name: str) -> str:
    """The name of one of our weights in published checkpoints."""
    for ours, theirs in NAMES.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name
