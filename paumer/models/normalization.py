"""By which statistics a network's images are normalised: as the configuration says, or as its weights ask for."""

from timm.models import get_pretrained_cfg

from paumer.config import STATISTICS, Backbone, Normalization, Statistics, parse
from paumer.files import read_json
from paumer.models.backbones import check_architecture
from paumer.models.shipped import FILES, trained_network
from paumer.stages import NetworkSettings


def normalization_of(backbone: Backbone) -> Normalization:
    """Never `auto`: what the configuration says, else what the weights ask for, else ImageNet's.

    Raises:
        PaumerError: the architecture is unknown, or the folder of a trained network is damaged.
    """
    return asked_for(backbone) or "imagenet" if backbone.normalization == "auto" else backbone.normalization


def asked_for(backbone: Backbone) -> Normalization | None:
    """What the weights of a backbone were trained with: as their folder says, or timm; None without weights.

    Raises:
        PaumerError: the architecture is unknown, or the folder of a trained network is damaged.
    """
    folder = trained_network(backbone.weights)
    if folder is not None:
        path = next(folder / file for file in FILES if (folder / file).is_file())
        network: NetworkSettings = parse(NetworkSettings, read_json(path, network=dict)["network"], str(path))
        return normalization_of(network.backbone.model_copy(update={"weights": "none"}))
    check_architecture(backbone)
    source = get_pretrained_cfg(backbone.architecture)
    if backbone.weights == "none" or source is None:
        return None
    given = Statistics(mean=source.mean, std=source.std)
    return next((name for name, known in STATISTICS.items() if known == given), given)


def described(normalization: Normalization) -> str:
    """A normalization in a few words."""
    if isinstance(normalization, Statistics):
        return f"mean {list(normalization.mean)}, std {list(normalization.std)}"
    return normalization
