"""By which statistics a network's images are normalised: as the configuration says, or as its weights ask for."""

from collections.abc import Sequence

from timm.models import get_pretrained_cfg

from paumer.config import STATISTICS, Backbone, Normalization, Statistics, parse
from paumer.models.backbones import check_architecture
from paumer.models.shipped import read_run, trained_network
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
