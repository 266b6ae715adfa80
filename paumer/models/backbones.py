"""Plain vision transformers from timm, whose blocks the encoder runs one by one, and how their images are normalised.

Weights come from the hub, a local file, or nowhere. Those of the hub are fetched as a file, and every file is read the
same way: strictly, except for its classifier of images and, where `depth` is given, its last blocks, and resampled by
timm to the network's patch and image size.
"""

import difflib
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from timm.layers import PatchEmbed
from timm.models import (
    get_arch_name,
    get_pretrained_cfg,
    is_model_in_modules,
    load_state_dict,
    model_entrypoint,
)
from timm.models.deit import VisionTransformerDistilled
from timm.models.eva import Eva, EvaBlock
from timm.models.vision_transformer import VisionTransformer

from paumer.config.base import Size, parse
from paumer.config.network import STATISTICS, Backbone, NetworkSettings, Normalization, Statistics
from paumer.models.weights import (
    FIRST,
    backbone_weights,
    holds,
    read_run,
    refuse_bomb,
    require_weights,
    trained_network,
    unreadable,
)
from paumer.system.errors import PaumerError, summary

MODULES = ("vision_transformer", "deit", "eva")  # where timm defines plain vision transformers
CLASSES = (VisionTransformer, VisionTransformerDistilled, Eva)
ROTATIONS = ("NoneType", "RotaryEmbeddingCat", "RotaryEmbeddingDinoV3")  # by name: not every release of timm has all
REMEDY = "use a plain one, such as vit_small_patch16_224, vit_small_patch14_dinov2 or vit_small_patch16_dinov3"
# Why other networks are not supported, by timm's module.
OBSTACLES = {
    "naflexvit": "NaFlex networks take sequences of patches in the place of images, which does not run here",
    "vision_transformer_hybrid": "hybrid networks make patches by a convolutional network, which does not run here",
}


BLOCK = re.compile(r"blocks\.(\d+)\.")  # the beginning of the names of a block's weights
LOGGER = logging.getLogger("paumer")


def obstacle_of(vit: Any) -> str:
    """Why a network is not supported, and what to use instead; empty where it is."""
    if type(vit) not in CLASSES:
        return obstacle_in(type(vit).__module__, type(vit).__name__)
    patches, kind = vit.patch_embed, type(vit.patch_embed)
    if kind.__module__.endswith("hybrid_embed"):
        return f"{OBSTACLES['vision_transformer_hybrid']}; {REMEDY}"
    if kind is not PatchEmbed:
        return f"its patches are made by {kind.__name__}; {REMEDY}"
    if patches.patch_size[0] != patches.patch_size[1]:
        return f"its patches of {patches.patch_size} pixels are not square; {REMEDY}"
    return f"{obstacle}; {REMEDY}" if type(vit) is Eva and (obstacle := _obstacle_of_eva(vit)) else ""


def _obstacle_of_eva(vit: Eva) -> str:
    """Why a network of timm's class `Eva` is not supported; empty where it is."""
    if kind := next((type(block).__name__ for block in vit.blocks if type(block) is not EvaBlock), ""):
        return f"its blocks are of {kind}, which norms what they add"
    if (kind := type(vit.rope).__name__) not in ROTATIONS:
        return f"it rotates queries and keys by {kind}, where DINOv3 and EVA-02 do the same in every block and head"
    return ""


def obstacle_in(module: str, name: str) -> str:
    """The same of the network `name`, defined in a module that is none of `MODULES`."""
    other = f"{name} of {module} is none of timm's plain vision transformers"
    return f"{OBSTACLES.get(module.removeprefix('timm.models.'), other)}; {REMEDY}"


def create_vit(settings: NetworkSettings, pretrained: bool = True) -> VisionTransformer:
    """Create the backbone for images of `settings.image_size`, without a classifier.

    Args:
        settings: names the architecture, its options and its weights.
        pretrained: load the configured weights; off where trained weights follow anyway.

    Raises:
        PaumerError: unknown or unsuitable architecture, bad options, or weights that are missing, damaged or of
            another network.
    """
    backbone = settings.backbone
    check_architecture(backbone)
    options = {"img_size": whole_patches(backbone, settings.image_size), **backbone.options}
    options |= {"num_classes": 0, "dynamic_img_size": True, "drop_path_rate": settings.drop_path}
    path = _weights_file(backbone) if pretrained and backbone.weights != "none" else None
    if path is None:
        return _create(backbone, options)
    if path.suffix == ".npz":
        return _fill_from_npz(_create(backbone, options), path, backbone)
    return _create(backbone, options, _read(path, backbone))


def whole_patches(backbone: Backbone, size: Size) -> Size:
    """`size` padded to whole patches.

    Raises:
        PaumerError: the options hold no usable patch size.
    """
    patch = backbone.patch_size
    return size[0] + -size[0] % patch, size[1] + -size[1] % patch


def check_architecture(backbone: Backbone) -> None:
    """Refuse names and tags that timm does not know, and networks that are no plain vision transformers."""
    key, name = f"backbones.{backbone.name}.architecture", backbone.architecture
    if not timm.is_model(name):
        known = timm.list_models(module=list(MODULES))
        near = difflib.get_close_matches(get_arch_name(name), known, n=3, cutoff=0)
        raise PaumerError(f"{key}: timm has no {name!r}; use one like {', '.join(near)}")
    if not is_model_in_modules(name, MODULES):
        obstacle = obstacle_in(model_entrypoint(name).__module__, get_arch_name(name))
        raise PaumerError(f"{key}: {name}: {obstacle}")
    try:
        get_pretrained_cfg(name)
    except RuntimeError:  # the architecture is known, its tag is not
        tags = timm.list_pretrained(get_arch_name(name))
        remedy = f"use one of {', '.join(tags)}" if tags else "leave the tag out, there are no weights of it"
        raise PaumerError(f"{key}: timm has no weights {name!r}; {remedy}") from None


def _create(backbone: Backbone, options: dict[str, Any], weights: dict[str, Any] | None = None) -> VisionTransformer:
    """Have timm create a network, and fill it as timm fills its own; complaints name the options or the weights."""
    if weights is not None:
        # Without a classifier to leave out, timm is strict about names.
        options = options | {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": weights, "classifier": None}}
    try:
        vit = timm.create_model(backbone.architecture, **options)
    except Exception as error:  # timm leaves most checks to Python and torch
        if weights is not None and not isinstance(error, TypeError | ValueError | AssertionError):
            raise _misfit(backbone, error if FIRST in weights else ValueError(holds(weights))) from None
        raise PaumerError(f"backbones.{backbone.name}.options: {summary(error)}; mend the options") from None
    if obstacle := obstacle_of(vit):
        raise PaumerError(f"backbones.{backbone.name}.architecture: {backbone.architecture}: {obstacle}")
    vit.pretrained_cfg.pop("state_dict", None)  # a second copy of all weights
    return vit


def _misfit(backbone: Backbone, error: Exception) -> PaumerError:
    if isinstance(error, PaumerError):
        return PaumerError(f"backbones.{backbone.name}.weights: {error}")
    return PaumerError(
        f"backbones.{backbone.name}.weights: {backbone.weights!r} does not load into {backbone.architecture} "
        f"({unreadable(error)}); name weights of this architecture and these options"
    )


def _weights_file(backbone: Backbone) -> Path:
    """The configured file, fetched from the hub if need be."""
    if backbone.weights == "hub":
        return _fetch(backbone)
    path = Path(backbone.weights).expanduser()
    if not path.is_file():
        raise PaumerError(
            f"backbones.{backbone.name}.weights: no file {backbone.weights!r}, and no folder of a network; name a "
            "weights file, the folder of a trained network, demo, hub or none"
        )
    return path


def _fetch(backbone: Backbone) -> Path:
    """Fetch the architecture's weights from the hub, or find them in its cache.

    Raises:
        PaumerError: the hub does not have or send them; names the file to fetch by hand.
    """
    key, source = f"backbones.{backbone.name}.weights", get_pretrained_cfg(backbone.architecture)
    if source is None or not source.has_weights:
        raise PaumerError(f"{key}: timm has no weights of {backbone.architecture}; use none or a file")
    if not source.hf_hub_id:
        raise PaumerError(
            f"{key}: the hub has no {backbone.architecture}; fetch {source.url} and set weights: to that file"
        )
    repository, _, revision = source.hf_hub_id.partition("@")
    file = {"repo_id": repository, "filename": source.hf_hub_filename or "model.safetensors"}
    file |= {"revision": revision} if revision else {}
    url = hf_hub_url(**file)
    try:
        if not isinstance(try_to_load_from_cache(**file), str):
            get_hf_file_metadata(url)  # fails at once where the download below would try again for minutes
        return Path(hf_hub_download(**file))
    except Exception as error:  # the client lets through whatever its HTTP library raises
        raise PaumerError(
            f"{key}: the hub did not give {repository} ({type(error).__name__}: {summary(error)}); fetch {url} where "
            "there is a network and set weights: to that file"
        ) from None


def _read(path: Path, backbone: Backbone) -> dict[str, Any]:
    """Read the backbone's weights from a file of named tensors without running code from it."""
    try:
        refuse_bomb(path)
        weights, prefix = backbone_weights(_tensors(path))
        require_weights(weights)
    except Exception as error:  # unpickling garbage raises whatever the garbage says
        raise _misfit(backbone, error) from None
    if prefix:
        LOGGER.warning("%s: took the weights under %s, and left out the others", path, prefix)
    depth = backbone.options.get("depth")
    return first_blocks(weights, depth, path) if type(depth) is int else weights


def first_blocks(weights: dict[str, Any], depth: int, path: Path) -> dict[str, Any]:
    """Of the weights of a backbone those of its first `depth` blocks, and all that belong to no block."""
    blocks = {name: int(found[1]) for name in weights if (found := BLOCK.match(name))}
    there = max(blocks.values(), default=-1) + 1
    if there > depth:
        LOGGER.warning("%s: took the first %d of %d blocks", path, depth, there)
    return {name: value for name, value in weights.items() if blocks.get(name, -1) < depth}


def _tensors(path: Path) -> dict[str, Any]:
    """The tensors of a file by name, of several networks those of the averaged one.

    Raises:
        Exception: of many kinds; the file is damaged, unsafe, or holds something else.
    """
    try:
        return load_state_dict(str(path), weights_only=True)
    except AttributeError:  # timm takes whatever a file holds for named weights
        raise ValueError("it holds no weights by their names") from None


def _fill_from_npz(vit: VisionTransformer, path: Path, backbone: Backbone) -> VisionTransformer:
    """Fill a network from a JAX archive, the format in which Google publishes AugReg.

    timm ignores what such a file lacks or has too much; here either is an error.
    """
    with torch.no_grad():
        for value in vit.parameters():
            value.fill_(torch.nan)
    try:
        refuse_bomb(path)
        vit.load_pretrained(str(path))
        lacking = [name for name, value in vit.named_parameters() if value.isnan().any()]
        if lacking:
            raise ValueError(f"it lacks {lacking[0]}, or holds no numbers there")
        require_weights(dict(vit.named_parameters()))
        with np.load(path) as archive:
            if any(f"/encoderblock_{len(vit.blocks)}/" in name for name in archive.files):
                if "depth" not in backbone.options:
                    raise ValueError(f"it has more than {len(vit.blocks)} blocks")
                LOGGER.warning("%s: took the first %d blocks", path, len(vit.blocks))
    except Exception as error:  # a missing array, a wrong shape, no archive at all
        raise _misfit(backbone, error) from None
    return vit


def normalization_of(backbone: Backbone) -> Normalization:
    """The normalization of the configuration, or else of the weights, or else ImageNet's; never `auto`.

    Raises:
        PaumerError: the architecture is unknown, or the folder of a trained network is damaged.
    """
    return asked_for(backbone) or "imagenet" if backbone.normalization == "auto" else backbone.normalization


def asked_for(backbone: Backbone) -> Normalization | None:
    """The normalization that the weights of a backbone were trained with; None without weights.

    Raises:
        PaumerError: the architecture is unknown, or the folder of a trained network is damaged.
    """
    folder = trained_network(backbone.weights)
    if folder is not None:
        network: NetworkSettings = parse(NetworkSettings, read_run(folder)["network"], str(folder))
        return normalization_of(network.backbone.model_copy(update={"weights": "none"}))
    check_architecture(backbone)
    source = get_pretrained_cfg(backbone.architecture)
    if backbone.weights == "none" or source is None:
        return None
    return statistics(source.mean, source.std)


def statistics(mean: Sequence[float], std: Sequence[float]) -> Normalization:
    """The normalization of a mean and a standard deviation: its name where it has one."""
    given = Statistics(mean=tuple(mean), std=tuple(std))
    return next((name for name, known in STATISTICS.items() if known == given), given)


def described(normalization: Normalization) -> str:
    """A normalization in a few words."""
    if isinstance(normalization, Statistics):
        return f"mean {list(normalization.mean)}, std {list(normalization.std)}"
    return normalization
