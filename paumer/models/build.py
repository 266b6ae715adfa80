"""Build networks from their settings; write and read trained ones."""

from pathlib import Path
from typing import Any

import timm
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from timm.models import is_model_in_modules, load_state_dict
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor

from paumer.config import Backbone, Size, check_heads, parse
from paumer.errors import PaumerError
from paumer.files import read_json, writing
from paumer.models.decoders import build_decoder
from paumer.models.encoder import Encoder
from paumer.models.heads import LinearHead
from paumer.models.segmenter import Segmenter
from paumer.stages import NetworkSettings


def build(settings: NetworkSettings, pretrained: bool = True) -> Segmenter:
    """Build a network.

    Args:
        settings: its shape.
        pretrained: load the backbone's configured weights; off where trained weights follow anyway.

    Raises:
        PaumerError: unknown backbone or options, unreadable weights, or a head beyond the last block.
    """
    encoder = Encoder(_create_vit(settings, pretrained))
    if settings.backbone.positions == "sincos":
        if encoder.vit.pos_embed is None or encoder.width % 4:
            raise PaumerError(
                f"backbones.{settings.backbone.name}.positions: sincos needs position embeddings and an embed_dim that "
                "is a multiple of 4; use learned"
            )
        encoder.start_positions_as_sincos()
    blocks = settings.heads.blocks if settings.heads else ()
    check_heads(blocks, encoder.depth)
    sub_patch = settings.decoder.sub_patch if settings.decoder.name == "linear" else 1
    heads = {block: LinearHead(encoder.width, settings.classes, sub_patch, norm=True) for block in blocks}
    return Segmenter(encoder, build_decoder(settings.decoder, encoder.width, settings.classes), heads)


def _create_vit(settings: NetworkSettings, pretrained: bool) -> VisionTransformer:
    """Create the backbone through timm, which also resamples pretrained embeddings to our patch and image size."""
    backbone = settings.backbone
    if not timm.is_model(backbone.architecture):
        near = timm.list_models(f"{backbone.architecture[:8]}*")[:3] or timm.list_models("vit_*")[:3]
        raise PaumerError(
            f"backbones.{backbone.name}.architecture: timm has no {backbone.architecture!r}; use one like "
            f"{', '.join(near)}"
        )
    options: dict[str, Any] = {"img_size": whole_patches(backbone, settings.image_size), **backbone.options}
    options |= {"num_classes": 0, "dynamic_img_size": True, "drop_path_rate": settings.drop_path}
    local = pretrained and backbone.weights not in ("none", "hub")
    path = _weights_file(backbone) if local else None
    if not is_model_in_modules(backbone.architecture.split(".")[0], ["vision_transformer", "deit"]):
        raise _not_plain(backbone)
    try:
        vit = timm.create_model(backbone.architecture, pretrained=pretrained and backbone.weights == "hub", **options)
        if type(vit) is VisionTransformer and path is not None:
            _load_backbone(vit, path)
    except (TypeError, ValueError, AssertionError) as error:
        raise PaumerError(f"backbones.{backbone.name}.options: {_line(error)}; mend the options") from None
    except Exception as error:  # unpickling garbage raises whatever the garbage says
        raise PaumerError(
            f"backbones.{backbone.name}.weights: {backbone.weights!r} does not load into {backbone.architecture} "
            f"({_line(error)}); name weights of this architecture"
        ) from None
    if type(vit) is not VisionTransformer:  # distilled ones have a second class token
        raise _not_plain(backbone)
    return vit


def _not_plain(backbone: Backbone) -> PaumerError:
    return PaumerError(
        f"backbones.{backbone.name}.architecture: {backbone.architecture} is no plain vision transformer; use one of "
        "timm's vit_*, deit_* or vit_*_dinov2"
    )


def _load_backbone(vit: VisionTransformer, path: Path) -> None:
    """Load a file, resampled to the network's patch and image size; a classifier of images is left out."""
    weights = checkpoint_filter_fn(load_state_dict(str(path)), vit)
    vit.load_state_dict({name: value for name, value in weights.items() if not name.startswith("head.")})


def whole_patches(backbone: Backbone, size: Size) -> Size:
    """`size` padded to whole patches; the patch size stands in the options or in timm's name."""
    named = [part[5:] for part in backbone.architecture.split("_") if part.startswith("patch")]
    patch = backbone.options.get("patch_size", int(next(iter(named), 16)))
    if not isinstance(patch, int) or patch < 1:
        raise PaumerError(
            f"backbones.{backbone.name}.options: patch_size must be a whole number above 0, not {patch!r}"
        )
    return size[0] + -size[0] % patch, size[1] + -size[1] % patch


def _weights_file(backbone: Backbone) -> Path:
    path = Path(backbone.weights).expanduser()
    if not path.is_file():
        raise PaumerError(
            f"backbones.{backbone.name}.weights: no file {backbone.weights!r}; name a weights file, hub or none"
        )
    return path


def _line(error: BaseException) -> str:
    """The first line of an exception."""
    return (str(error) or type(error).__name__).strip().splitlines()[0][:200]


def save_weights(model: Segmenter, path: Path) -> None:
    """Write a network's weights, whole or not at all."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with writing(path) as temporary:
        save_file(weights, temporary)


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read weights.

    Raises:
        PaumerError: the file is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise PaumerError(f"{path}: weights cannot be read ({_line(error)}); train this run again") from None


def load_run(folder: Path) -> tuple[Segmenter, dict[str, Any]]:
    """Load a trained network in eval mode, and its `run.json`.

    Raises:
        PaumerError: the folder holds no finished run, or a damaged one.
    """
    run = read_json(folder / "run.json")
    settings = parse(NetworkSettings, run["network"], str(folder / "run.json"))
    model = build(settings, pretrained=False)
    copy_weights(model, load_weights(folder / "model.safetensors"), folder / "model.safetensors")
    return model.eval(), run


def copy_weights(model: Segmenter, weights: dict[str, Tensor], path: Path, new_heads: bool = False) -> None:
    """Copy weights into a network; with `new_heads` its auxiliary heads may be missing among them.

    Raises:
        PaumerError: names or shapes do not fit.
    """
    try:
        missing, unexpected = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise PaumerError(f"{path}: weights do not fit the network ({_line(error)}); train this run again") from None
    missing = [name for name in missing if not (new_heads and name.startswith("heads."))]
    if missing or unexpected:
        raise PaumerError(f"{path}: weights do not fit the network ({(missing + unexpected)[0]}); train it again")
