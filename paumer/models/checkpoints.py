"""The weights of a backbone among all that a checkpoint of somebody else holds."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

FIRST = "patch_embed.proj.weight"  # that every plain ViT of timm has; what stands before it is a prefix of all names
# Of several networks in a file the one to take: DINO's mean of the student, averaged weights, MoCo's and I-JEPA's own.
PREFERRED = ("teacher", "model_ema", "ema", "base_encoder", "encoder")
CLASSIFIERS = ("head.", "head_dist.")  # `head_dist` belongs to the distillation token
# What a file's names tell of those who named its weights.
FOREIGN = {
    "embeddings.patch_embeddings.projection.weight": "Hugging Face's transformers",
    "patch_embed.projection.weight": "mmsegmentation",
    "conv_proj.weight": "torchvision",
}
SHOWN = 3  # names of what a file holds


def backbone_weights(checkpoint: Any) -> tuple[dict[str, Any], str]:
    """The weights of the backbone in a checkpoint, without a classifier of images.

    They may lie in mappings inside it, and under names with a prefix: `backbone.` of mmsegmentation, `model.` of
    Lightning, `teacher.backbone.` of DINO. What names no weights as timm does is left for timm, which knows the names
    of some who publish ViTs.

    Returns:
        Tensors by name, and the prefix under which they lay.

    Raises:
        ValueError: the checkpoint holds no named weights, or several networks.
    """
    tensors = dict(_flattened(checkpoint))
    found = [name.removesuffix(FIRST) for name in tensors if name.endswith(f".{FIRST}")]
    prefix, chosen = "", checkpoint if tensors else {}
    if found and FIRST not in tensors:
        prefix = _preferred(found)
        chosen = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    weights = {name: value for name, value in chosen.items() if not name.startswith(CLASSIFIERS)}
    if not weights:  # timm would turn to the hub
        raise ValueError("it holds no weights of a backbone")
    return weights, prefix


def holds(weights: Mapping[str, Any]) -> str:
    """What weights that do not fit are called, in a few words for an error message."""
    names = [name for name, _ in _flattened(weights)]
    for ending, who in FOREIGN.items():
        if any(name.endswith(ending) for name in names):
            return f"its weights have the names of {who}, not those of timm"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"it holds {', '.join(names[:SHOWN])}{more}"


def _preferred(prefixes: list[str]) -> str:
    """The one prefix, or the preferred one of several.

    Raises:
        ValueError: which of them is meant is open.
    """
    if len(prefixes) == 1:
        return prefixes[0]
    for preferred in PREFERRED:
        matching = [prefix for prefix in prefixes if preferred in prefix.split(".")]
        if len(matching) == 1:
            return matching[0]
    raise ValueError(f"it holds several networks, {', '.join(prefixes)}: save the one that is meant alone")


def _flattened(content: Any, before: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of mappings in mappings, by their names joined by dots."""
    if isinstance(content, Tensor) and before:
        yield before, content
    elif isinstance(content, Mapping):
        for name, value in content.items():
            yield from _flattened(value, f"{before}.{name}" if before else str(name))
