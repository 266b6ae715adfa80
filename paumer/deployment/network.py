"""A trained network that knows its classes, colours and windows, from a run, an exported folder, or the hub.

Reading one runs no code from it: weights are safetensors, the description is JSON, and only options of the shape of a
vision transformer reach timm.
"""

from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import ModelHubMixin, hf_hub_download
from torch import Tensor

from paumer.config import Evaluation, parse
from paumer.data.transforms import normalize
from paumer.deployment.card import model_card
from paumer.deployment.description import Description, describe_run
from paumer.deployment.presets import tuned
from paumer.errors import PaumerError, summary
from paumer.files import read_json, write_json, write_text
from paumer.models.build import build, copy_weights, load_weights, require_shape, save_weights
from paumer.models.inference import predict
from paumer.models.segmenter import Segmenter
from paumer.models.shipped import CONFIG, WEIGHTS, find_network
from paumer.registry import Point, operating_point
from paumer.strategies.points import build_strategy

CARD = "README.md"
DOWNLOAD = ("revision", "cache_dir", "token", "force_download", "local_files_only")


class HubSegmenter(
    Segmenter,
    ModelHubMixin,
    library_name="paumer",
    pipeline_tag="image-segmentation",
    tags=["semantic-segmentation", "vision-transformer", "patch-pausing"],
):
    """A Segmenter with its description; `paumer.Segmenter`.

    `from_pretrained` loads one from a folder or a repository of the hub, `save_pretrained` writes such a folder.

    Attributes:
        description: classes, colours, windows, and measured operating points.
    """

    def __init__(self, description: Description) -> None:
        built = build(description.network, pretrained=False)
        heads: Mapping[int, Any] = {int(block): head for block, head in built.heads.items()}
        super().__init__(built.encoder, built.decoder, heads, description.network.class_frequencies)
        self.description = description

    @torch.inference_mode()
    def segment(self, images: Tensor) -> Tensor:
        """Class ids of images of any size, in windows as the description says.

        Args:
            images: RGB, (3, height, width) or (batch, 3, height, width), uint8.

        Returns:
            (height, width) or (batch, height, width) int64.

        Raises:
            PaumerError: images of another shape or type.
        """
        if images.dtype != torch.uint8 or images.ndim not in (3, 4) or images.shape[-3] != 3:
            raise PaumerError(
                f"images: {images.dtype} of shape {tuple(images.shape)}; give uint8 of (3, height, width) or "
                "(batch, 3, height, width)"
            )
        batch = images if images.ndim == 4 else images[None]
        [(_, predicted)] = predict(self, self.inputs(batch), [self.strategy], self.description.evaluation)
        return predicted.classes if images.ndim == 4 else predicted.classes[0]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def inputs(self, images: Tensor) -> Tensor:
        """Images (batch, 3, height, width) uint8 as `forward` takes them: on the device, normalised."""
        return normalize(images.to(self.device), self.description.network.backbone.normalization)

    def with_schedule(self, schedule: str, strategy: str = "pause", criterion: str = "") -> Self:
        """This network at another operating point: another object with the same weights.

        Args:
            schedule: where and how much, `3:0.4`; `dense` for every patch through every block.
            strategy: a registered name, or a composition such as `merge>pause`.
            criterion: by which patches are chosen; empty: the strategy's usual one.

        Raises:
            PaumerError: the operating point is not possible in this network.
        """
        dense = schedule.strip() in ("", "dense")
        other = copy(self)
        other.strategy = self.strategy_of(Point() if dense else operating_point(strategy, criterion, schedule))
        return other

    def strategy_of(self, point: Point) -> Any:
        """The strategy of an operating point.

        Raises:
            PaumerError: this network cannot run it.
        """
        point.check_depth(self.encoder.depth)
        strategy = build_strategy(point)
        if reason := strategy.skip(self):
            raise PaumerError(f"{point.strategy} {point.schedule}: {reason}; choose another operating point")
        return strategy

    def _save_pretrained(self, save_directory: Path) -> None:
        save_weights(self, save_directory / WEIGHTS)
        write_json(save_directory / CONFIG, self.description.model_dump(mode="json"))
        write_text(save_directory / CARD, model_card(self.description))

    @classmethod
    def _from_pretrained(cls, *, model_id: str, config: dict[str, Any] | None = None, **where: Any) -> Self:
        """Build the network that `config` describes and fill it; the mixin has read `config.json`."""
        if config is None:
            raise PaumerError(
                f"{model_id}: has no {CONFIG}; name a folder or repository that `paumer export hub` wrote"
            )
        model = cls(_checked(config, model_id))
        path = Path(model_id) / WEIGHTS
        if not path.parent.is_dir():
            options: dict[str, Any] = {name: where[name] for name in DOWNLOAD if name in where}
            try:
                path = Path(hf_hub_download(model_id, WEIGHTS, **options))
            except Exception as error:  # the client lets through whatever its HTTP library raises
                raise PaumerError(f"{model_id}: the hub did not give {WEIGHTS} ({summary(error)}); try again") from None
        copy_weights(model, load_weights(path), path)
        return model.eval()


def load_network(name: str | Path, manifest: Path | None = None, evaluation: Evaluation | None = None) -> HubSegmenter:
    """Load a run that `paumer train` wrote, or a folder that `paumer export hub` did, in float32.

    Args:
        name: the folder of either; or `demo`.
        manifest: `data.json` of the data of a run; by default that of its experiment.
        evaluation: how images are seen; by default as the folder says.

    Raises:
        PaumerError: there is no such network, it is damaged, or a manifest is named for one that needs none.
    """
    folder = find_network(name)
    if (folder / CONFIG).is_file():
        if manifest is not None:
            raise PaumerError(f"--data {manifest}: the exported network {name} knows its classes; leave --data out")
        description = _exported(folder)
        if evaluation is not None:
            description = description.model_copy(update={"evaluation": evaluation})
    else:
        description = describe_run(folder, manifest, evaluation)
    model = HubSegmenter(description)
    copy_weights(model, load_weights(folder / WEIGHTS), folder / WEIGHTS)
    return model.eval()


def _exported(folder: Path) -> Description:
    """The description in an exported folder, and what `paumer tune` has found there since."""
    description = _checked(read_json(folder / CONFIG), str(folder))
    presets = (*tuned(folder), *description.presets)
    return description.model_copy(update={"presets": presets})


def _checked(config: Any, name: str) -> Description:
    """The description in a `config.json` that others may have written.

    Raises:
        PaumerError: it is none, or asks timm for more than a shape.
    """
    origin = f"{name}/{CONFIG}"
    description: Description = parse(Description, config, origin)
    require_shape(description.network.backbone, origin)
    return description
