"""Networks whose last blocks also run queries, each of which says what it is and where: EoMT as its authors publish it.

Kerssies et al., "Your ViT is Secretly an Image Segmentation Model", CVPR 2025; github.com/tue-mps/eomt. Written from
the paper and the names and shapes of published weights. What runs before the queries join is an encoder as any other,
in which patches pause, merge or share tokens; then all of them are back at their places, and run the last blocks with
the queries.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from timm.layers import LayerNorm2d
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from paumer.config.base import parse
from paumer.config.measuring import Evaluation
from paumer.models.backbones import statistics
from paumer.models.encoder import Encoder, Grid
from paumer.models.labels import upsample
from paumer.models.weights import read_tensors, require_same, require_weights, unreadable
from paumer.models.wrap import MapSegmenter, auxiliary_heads, require_classes
from paumer.strategies.state import State
from paumer.system.errors import PaumerError

FILE = "pytorch_model.bin"
REMEDY = "name the file of weights of a published EoMT for semantic segmentation"
HEAD_WIDTH = 64  # channels of an attention head, in all networks of DINOv2
BACKBONE = "network.encoder.backbone."
NAMES = {  # how names begin here, and there
    "encoder.vit.": BACKBONE,
    "decoder.norm.": f"{BACKBONE}norm.",
    "decoder.queries": "network.q.weight",
    "decoder.classify.": "network.class_head.",
    "decoder.describe.": "network.mask_head.",
}
UPSCALING = re.compile(r"decoder\.upscale\.(\d+)\.(\d)\.")
STEPS = {"0": "conv1", "2": "conv2", "3": "norm"}  # of an upscaling here, and there
JOINT = re.compile(r"decoder\.blocks\.(\d+)\.")
APART = ("network.encoder.pixel_mean", "network.encoder.pixel_std", "network.attn_mask_probs", "criterion.empty_weight")


def load_eomt(path: str | Path, auxiliary: Mapping[int, nn.Module] | nn.ModuleDict | None = None) -> "QuerySegmenter":
    """Load a published EoMT with a plain backbone of DINOv2, as its authors train it for semantic segmentation.

    Args:
        path: its `pytorch_model.bin`, or the folder that holds it. Reading it runs none of its content.
        auxiliary: the modules that predict at blocks before the queries join, as of `paumer.wrap`. Criteria that need a
            prediction need them there.

    Returns:
        The network on the CPU in eval mode; its `evaluation` are square windows along the image, whose short side is
        brought to theirs. Its logits are the scores of the classes, from 0: over all queries, the
        probability of the class times that of the mask.

    Raises:
        PaumerError: the file is missing, damaged, unsafe, or of another network, or an auxiliary module does not fit.
    """
    path = Path(path).expanduser()
    path = path / FILE if path.is_dir() else path
    weights = _read(path)
    try:
        encoder, decoder = _build(weights)
    except (KeyError, AttributeError, ValueError, IndexError) as error:
        raise PaumerError(f"{path}: is no EoMT of a plain backbone ({error}); {REMEDY}") from None
    heads = auxiliary_heads(auxiliary, encoder)
    require_classes(heads, decoder.classes)
    mean, std = (weights[name].flatten().tolist() for name in APART[:2])
    side = encoder.vit.patch_embed.img_size[0]
    windows = {"inference": "sliding", "window": (side, side), "stride": (side, side), "short_side": side}
    evaluation: Evaluation = parse(Evaluation, windows, str(path))
    model = QuerySegmenter(encoder, decoder, {}, normalization=statistics(mean, std), evaluation=evaluation)
    names = {_published_name(name, encoder.depth): name for name in model.state_dict()}
    used = {name: value for name, value in weights.items() if name not in APART}
    try:
        require_same(used, {name: model.state_dict()[ours] for name, ours in names.items()})
    except ValueError as error:
        raise PaumerError(f"{path}: weights do not fit a plain backbone of DINOv2 ({error}); {REMEDY}") from None
    model.load_state_dict({names[name]: value for name, value in used.items()})
    model.heads.update({str(block): head for block, head in heads.items()})
    return model.eval()


class QueryDecoder(nn.Module):
    """The last blocks, in which queries run beside all other tokens, and what they say of classes and masks.

    Attributes:
        classes: number of classes, without that of queries which stand for nothing.
        patch_size: side of a patch in pixels.
    """

    def __init__(
        self, blocks: nn.Sequential, norm: nn.Module, shape: tuple[int, int], classes: int, patch: int
    ) -> None:
        super().__init__()
        count, width = shape
        self.classes, self.patch_size = classes, patch
        self.queries = nn.Parameter(torch.zeros(count, width))
        self.blocks, self.norm = blocks, norm
        self.classify = nn.Linear(width, classes + 1)
        layers = [nn.Linear(width, width) for _ in range(3)]
        self.describe = nn.Sequential(layers[0], nn.GELU(), layers[1], nn.GELU(), layers[2])
        doublings = max(1, int(math.log2(patch)) - 2)  # up to a quarter of the image's height and width
        self.upscale = nn.Sequential(*(doubled(width) for _ in range(doublings)))

    def forward(self, features: Tensor, prefix: Tensor) -> Tensor:
        """Scores (batch, classes, height, width) of all pixels.

        Args:
            features: of the patches before the queries join, (batch, width, grid height, grid width).
            prefix: class and register tokens there, (batch, prefix, width).
        """
        queries = self.queries.expand(len(features), -1, -1)
        tokens = torch.cat([queries, prefix, features.flatten(2).transpose(1, 2)], dim=1)
        tokens = self.norm(self.blocks(tokens))
        queries, patches = tokens[:, : queries.shape[1]], tokens[:, queries.shape[1] + prefix.shape[1] :]
        fine = self.upscale(patches.transpose(1, 2).unflatten(2, features.shape[2:]))
        masks = (self.describe(queries) @ fine.flatten(2)).unflatten(2, fine.shape[2:])
        height, width = (self.patch_size * side for side in features.shape[2:])
        likely = self.classify(queries).softmax(dim=-1)[..., :-1]
        return torch.einsum("bqc,bqhw->bchw", likely, upsample(masks, (height, width)).sigmoid())


def doubled(width: int) -> nn.Sequential:
    """Maps at twice their height and width."""
    return nn.Sequential(
        nn.ConvTranspose2d(width, width, 2, stride=2),
        nn.GELU(),
        nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
        LayerNorm2d(width),
    )


class QuerySegmenter(MapSegmenter):
    """A Segmenter whose decoder is the last blocks, which also read class and register tokens."""

    def beside_patches(self, tokens: Tensor, state: State) -> tuple[Tensor, ...]:
        """Class and register tokens, (batch, prefix, width)."""
        return (state.prefix_of(tokens),)


def _read(path: Path) -> dict[str, Tensor]:
    """The weights under the names they were published with."""
    if not path.is_file():
        raise PaumerError(f"{path}: no such file; {REMEDY}")
    try:
        content = read_tensors(path)
        weights = content.get("state_dict", content)  # of Lightning
        require_weights(weights)
    except PaumerError:
        raise
    except Exception as error:  # damaged files raise whatever their bytes lead to
        raise PaumerError(f"{path}: weights cannot be read ({unreadable(error)}); {REMEDY}") from None
    if missing := [name for name in APART[:3] if not isinstance(weights.get(name), Tensor)]:
        raise PaumerError(f"{path}: has no {missing[0]}, as an EoMT has; {REMEDY}")
    if bool((weights[APART[2]] > 0).any()):
        raise PaumerError(f"{path}: its attention is still masked (network.attn_mask_probs), which does not run here")
    return weights


def _build(weights: Mapping[str, Tensor]) -> tuple[Encoder, QueryDecoder]:
    """Encoder and decoder of the shapes of weights."""
    patches, positions = weights[f"{BACKBONE}patch_embed.proj.weight"], weights[f"{BACKBONE}pos_embed"]
    width, patch = patches.shape[0], patches.shape[-1]
    depth = len({name.split(".")[4] for name in weights if name.startswith(f"{BACKBONE}blocks.")})
    registers = weights.get(f"{BACKBONE}reg_token")
    grid, apart = _grid(positions.shape[1])
    vit = VisionTransformer(
        img_size=(grid[0] * patch, grid[1] * patch),
        patch_size=patch,
        embed_dim=width,
        depth=depth,
        num_heads=max(1, width // HEAD_WIDTH),
        init_values=1e-5 if f"{BACKBONE}blocks.0.ls1.gamma" in weights else None,
        class_token=f"{BACKBONE}cls_token" in weights,
        reg_tokens=0 if registers is None else registers.shape[1],
        no_embed_class=apart,
        global_pool="",
        num_classes=0,
        dynamic_img_size=True,
    )
    first = depth - len(weights[APART[2]])
    shape = (weights["network.q.weight"].shape[0], width)
    classes = weights["network.class_head.weight"].shape[0] - 1
    decoder = QueryDecoder(nn.Sequential(*vit.blocks[first:]), vit.norm, shape, classes, patch)
    vit.blocks, vit.norm = vit.blocks[:first], nn.Identity()
    return Encoder(vit), decoder


def _grid(positions: int) -> tuple[Grid, bool]:
    """The square grid of a number of position embeddings, and whether the prefix has none."""
    side = math.isqrt(positions)
    return (side, side), side**2 == positions


def _published_name(name: str, first: int) -> str:
    """The name of one of our weights in published files; the queries join in block `first` + 1."""
    if found := JOINT.match(name):
        return f"{BACKBONE}blocks.{first + int(found[1])}.{name[found.end() :]}"
    if found := UPSCALING.match(name):
        return f"network.upscale.{found[1]}.{STEPS[found[2]]}.{name[found.end() :]}"
    ours = next(ours for ours in NAMES if name.startswith(ours))
    return NAMES[ours] + name.removeprefix(ours)
