"""Which vision transformers can run: timm's plain ones, whose blocks the encoder runs one by one."""

from timm.layers import PatchEmbed
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import nn

MODULES = ("vision_transformer", "deit")  # where timm defines plain vision transformers
CLASSES = (VisionTransformer, VisionTransformerDistilled)
REMEDY = "use a plain one, such as vit_small_patch16_224, deit3_small_patch16_224 or vit_small_patch14_dinov2"
# By timm's module, what keeps others from running; people ask for these.
OBSTACLES = {
    "eva": "networks of timm's class Eva (DINOv3, EVA-02) rotate queries and keys by position, which does not run here",
    "naflexvit": "NaFlex networks take sequences of patches in the place of images, which does not run here",
    "vision_transformer_hybrid": "hybrid networks make patches by a convolutional network, which does not run here",
}


def obstacle_of(vit: nn.Module) -> str:
    """What keeps a network from running here, in a sentence; empty where nothing does."""
    kind = type(vit)
    if kind not in CLASSES:
        return obstacle_in(kind.__module__, kind.__name__)
    patches = type(vit.patch_embed)
    if patches is not PatchEmbed:
        hybrid = patches.__module__.endswith("hybrid_embed")
        return OBSTACLES["vision_transformer_hybrid"] if hybrid else f"its patches are made by {patches.__name__}"
    return ""


def obstacle_in(module: str, name: str) -> str:
    """What keeps the network `name` that a module defines, which is none of `MODULES`, from running here."""
    family = module.removeprefix("timm.models.")
    return OBSTACLES.get(family, f"{name} of {module} is none of timm's plain vision transformers")
