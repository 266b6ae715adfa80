"""Build networks from their settings; write and read trained ones."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from safetensors import SafetensorError
from safetensors.torch import save_file
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from paumer.config.base import parse
from paumer.config.network import Backbone, Heads, NetworkSettings, Normalization, check_heads
from paumer.models.backbones import create_vit
from paumer.models.encoder import Encoder
from paumer.models.heads import Adapter, AuxiliaryHead, DecoderHead, LinearHead, build_decoder
from paumer.models.segmenter import Segmenter
from paumer.models.weights import (
    CONFIG,
    WEIGHTS,
    find_network,
    read_run,
    read_safetensors,
    require_same,
    require_weights,
)
from paumer.system.errors import PaumerError, summary
from paumer.system.files import writing

Network = TypeVar("Network", bound=Segmenter)
SHAPE = frozenset(name for kind in (VisionTransformer, Eva) for name in inspect.signature(kind).parameters)


def build(settings: NetworkSettings, pretrained: bool = True) -> Segmenter:
    """Build a network.

    Args:
        settings: its shape.
        pretrained: load the backbone's configured weights; off where trained weights follow anyway.

    Raises:
        PaumerError: unknown backbone or options, unreadable weights, or a head beyond the last block.
    """
    return Segmenter(*network_parts(settings, pretrained))


def network_parts(
    settings: NetworkSettings, pretrained: bool
) -> tuple[Encoder, nn.Module, dict[int, AuxiliaryHead | DecoderHead], tuple[float, ...], Normalization]:
    """What a Segmenter is made of: encoder, decoder, auxiliary heads by block, class frequencies, normalization.

    Arguments and errors are those of `build`.
    """
    encoder = Encoder(create_vit(settings, pretrained))
    if settings.backbone.positions == "sincos":
        if encoder.vit.pos_embed is None or encoder.width % 4:
            raise PaumerError(
                f"backbones.{settings.backbone.name}.positions: sincos needs position embeddings and an embed_dim that "
                "is a multiple of 4; use learned"
            )
        encoder.start_positions_as_sincos()
    decoder = build_decoder(settings.decoder, encoder.width, settings.classes)
    heads = {} if settings.heads is None else build_heads(settings.heads, settings, encoder, decoder)
    return encoder, decoder, heads, settings.class_frequencies, settings.backbone.normalization


def build_heads(
    described: Heads, settings: NetworkSettings, encoder: Encoder, decoder: nn.Module
) -> dict[int, AuxiliaryHead | DecoderHead]:
    """The auxiliary heads of a network, by block.

    Raises:
        PaumerError: a block that the network lacks.
    """
    check_heads(described.blocks, encoder.depth)
    sub_patch = settings.decoder.sub_patch if settings.decoder.name == "linear" else 1

    def head() -> AuxiliaryHead | DecoderHead:
        size = (described.adapter, described.context, described.layers)
        adapter = Adapter(encoder.width, *size) if described.adapter else None
        if described.classifier == "decoder" and adapter is not None and isinstance(decoder, LinearHead):
            return DecoderHead(encoder, decoder, adapter)
        return AuxiliaryHead(encoder.width, settings.classes, sub_patch, adapter)

    return {block: head() for block in described.blocks}


def save_weights(model: Segmenter, path: Path) -> None:
    """Write a network's weights, whole or not at all.

    Raises:
        PaumerError: they cannot be written.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with writing(path) as temporary:
        try:
            save_file(weights, temporary)
        except SafetensorError as error:  # of a full disk, say
            raise OSError(summary(error)) from None


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read weights.

    Raises:
        PaumerError: the file is missing or damaged.
    """
    try:
        weights = read_safetensors(path)
        require_weights(weights)
        return weights
    except PaumerError:
        raise
    except (OSError, ValueError, SafetensorError) as error:
        raise PaumerError(f"{path}: weights cannot be read ({summary(error)}); train this run again") from None


def network_of(run: dict[str, Any], name: str | Path) -> NetworkSettings:
    """The description of the network in a folder's `run.json`.

    Raises:
        PaumerError: it describes none.
    """
    network: NetworkSettings = parse(NetworkSettings, run["network"], str(name))
    return network


def load_run(name: str | Path) -> tuple[Segmenter, dict[str, Any]]:
    """Load a trained network in eval mode, and the description of its training (`run.json`).

    Args:
        name: the folder of a run, or of an exported network; or `demo`.

    Raises:
        PaumerError: the folder holds no trained network, or a damaged one.
    """
    folder = find_network(name)
    run = read_run(folder)
    settings = network_of(run, folder)
    if (folder / CONFIG).is_file():
        require_shape(settings.backbone, folder / CONFIG)
    return trained(build(settings, pretrained=False), folder), run


def trained(model: Network, folder: Path) -> Network:
    """A network, in eval mode, with the trained weights of a folder.

    Raises:
        PaumerError: they are missing or damaged, or do not fit.
    """
    copy_weights(model, load_weights(folder / WEIGHTS), folder / WEIGHTS)
    return model.eval()


def require_classes(model: Segmenter, classes: Sequence[str], name: str | Path) -> None:
    """Refuse data with another number of classes than a network predicts.

    Raises:
        PaumerError: the numbers differ; names the network.
    """
    if model.classes != len(classes):
        raise PaumerError(
            f"{name}: predicts {model.classes} classes, and the data has {len(classes)}; name data of the network's "
            "classes, or another network"
        )


def require_shape(backbone: Backbone, origin: str | Path) -> None:
    """Refuse a description whose options of timm are more than the shape of a network.

    Raises:
        PaumerError: one is.
    """
    strange = [option for option in backbone.options if option not in SHAPE]
    if strange or backbone.weights != "none":
        what = f"option {strange[0]!r}" if strange else f"weights {backbone.weights!r}"
        raise PaumerError(f"{origin}: {what} is no part of the shape of a network; use a folder of `paumer export hub`")


def copy_weights(model: Segmenter, weights: dict[str, Tensor], path: Path) -> None:
    """Copy weights into a network.

    Raises:
        PaumerError: names or shapes do not fit.
    """
    try:
        require_same(weights, model.state_dict())
    except ValueError as error:
        raise PaumerError(f"{path}: weights do not fit the network ({error}); train this run again") from None
    model.load_state_dict(weights)


def start_from(model: Segmenter, path: Path) -> list[str]:
    """Copy the weights of a trained network into one that is to be trained further.

    A shallower network takes the first blocks. A decoder of another shape starts anew, and so do auxiliary heads unless
    they fit one and all.

    Args:
        model: the network.
        path: the trained network's `model.safetensors`.

    Returns:
        The parts that start anew: `decoder`, `heads`.

    Raises:
        PaumerError: the file is unusable, or the encoder does not fit.
    """
    given = load_weights(path)
    own = model.state_dict()
    fresh = [part for part in ("decoder", "heads") if not _same_shapes(part, own, given)]
    chosen = {name: own[name] if name.startswith(tuple(fresh)) else given.get(name) for name in own}
    lacking = [name for name, value in chosen.items() if value is None]
    deeper = tuple(f"encoder.vit.blocks.{block}." for block in range(model.encoder.depth, _depth(given)))
    lacking += [name for name in given if name not in own and not name.startswith(("decoder.", "heads.", *deeper))]
    if lacking:
        raise PaumerError(
            f"{path}: weights do not fit the network ({lacking[0]}); start from one of the same options and at least "
            "as many blocks"
        )
    copy_weights(model, cast(dict[str, Tensor], chosen), path)
    return [part for part in fresh if any(name.startswith(part) for name in own)]


def _depth(weights: dict[str, Tensor]) -> int:
    """Blocks of the network that weights belong to."""
    return len({name.split(".")[3] for name in weights if name.startswith("encoder.vit.blocks.")})


def _same_shapes(part: str, own: dict[str, Tensor], given: dict[str, Tensor]) -> bool:
    """Whether two networks have the same weights in a part, `decoder` or `heads`."""
    shapes = [{name: value.shape for name, value in of.items() if name.startswith(f"{part}.")} for of in (own, given)]
    return shapes[0] == shapes[1]
