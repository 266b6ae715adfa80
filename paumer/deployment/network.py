"""A trained network that knows its classes, colours and windows, from a run, an exported folder, or the hub.

Reading one runs no code from it: weights are safetensors, the description is JSON, and only options of the shape of a
vision transformer reach timm.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from huggingface_hub import ModelHubMixin, hf_hub_download

from paumer.config.base import parse
from paumer.config.measuring import Evaluation, read_evaluation
from paumer.deployment.card import model_card
from paumer.deployment.description import Description, describe_run
from paumer.deployment.presets import tuned
from paumer.models.build import network_parts, require_shape, save_weights, trained
from paumer.models.segmenter import Segmenter
from paumer.models.weights import CONFIG, DEMO, WEIGHTS, find_network
from paumer.system.errors import PaumerError, summary
from paumer.system.files import read_json, require_folder, write_json, write_text

CARD = "README.md"
DOWNLOAD = ("revision", "cache_dir", "token", "force_download", "local_files_only")
REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)


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
        super().__init__(*network_parts(description.network, pretrained=False), description.evaluation)
        self.description = description

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Self:
        """Load a network from a folder that `paumer export hub` wrote, or from a repository of the hub.

        Args:
            pretrained_model_name_or_path: the folder, or `USER/NAME`.
            options: of the download: `revision`, `cache_dir`, `token`, `force_download`, `local_files_only`.

        Raises:
            PaumerError: there is neither, it is damaged, or an option is unknown.
        """
        name = str(pretrained_model_name_or_path)
        for option in options:
            if option not in DOWNLOAD:
                raise PaumerError(
                    f"from_pretrained: no option {option!r}; use {', '.join(DOWNLOAD)}, and with_schedule for schedules"
                )
        folder = find_network(name) if name == DEMO else Path(name).expanduser()
        if not folder.is_dir():
            folder = _fetch(name, options)
        elif not (folder / CONFIG).is_file():
            raise PaumerError(f"{name}: has no {CONFIG}; name a folder or repository that `paumer export hub` wrote")
        return trained(cls(_exported(folder)), folder)

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> str | None:
        """Write such a folder; for `options` of uploading it see `huggingface_hub.ModelHubMixin`.

        Raises:
            PaumerError: it or what it is to lie in is a file, or may not be written to.
        """
        require_folder(Path(save_directory))
        uploaded: str | None = super().save_pretrained(save_directory, **options)
        return uploaded

    def _save_pretrained(self, save_directory: Path) -> None:
        save_weights(self, save_directory / WEIGHTS)
        write_json(save_directory / CONFIG, self.description.model_dump(mode="json"))
        write_text(save_directory / CARD, model_card(self.description))


def load(
    name: str | Path, evaluation: Evaluation | Mapping[str, Any] | None = None, manifest: Path | None = None
) -> HubSegmenter:
    """Load a trained network, ready to predict, in float32.

    Args:
        name: the folder of a run that `paumer train` wrote, or one that `paumer export` wrote; or `demo`, the small
            network for drawn street scenes that comes with the package.
        evaluation: how images are seen (windows, short side, scales); by default as the folder says.
        manifest: `data.json` of the data of a run; by default that of its experiment.

    Raises:
        PaumerError: there is no such folder, it holds no network, or is damaged; a key of `evaluation` is unknown; or a
            manifest is named for a network that needs none.
    """
    chosen = None if evaluation is None else read_evaluation(evaluation, "evaluation")
    folder = find_network(name)
    if (folder / CONFIG).is_file():
        if manifest is not None:
            raise PaumerError(f"--data {manifest}: the exported network {name} knows its classes; leave --data out")
        description = _exported(folder)
        if chosen is not None:
            description = description.model_copy(update={"evaluation": chosen})
    else:
        description = describe_run(folder, manifest, chosen)
    return trained(HubSegmenter(description), folder)


def _fetch(name: str, options: Mapping[str, Any]) -> Path:
    """Fetch the files of a repository of the hub; gives the folder in its cache where they lie.

    Raises:
        PaumerError: the name is none of a repository, or the hub does not give them.
    """
    if not REPOSITORY.fullmatch(name):
        raise PaumerError(f"{name}: no such folder, and no repository USER/NAME of the hub; correct the name")
    for file in (CONFIG, WEIGHTS):
        try:
            path = Path(hf_hub_download(name, file, **options))
        except Exception as error:  # the client lets through whatever its HTTP library raises
            raise PaumerError(
                f"{name}: no such folder, and the hub did not give {file} ({type(error).__name__}: {summary(error)}); "
                "correct the name, or try again"
            ) from None
    return path.parent


def _exported(folder: Path) -> Description:
    """The description in an exported folder, which others may have written, and what `paumer tune` has found since.

    Raises:
        PaumerError: it is none, or asks timm for more than a shape.
    """
    origin = f"{folder}/{CONFIG}"
    description: Description = parse(Description, read_json(folder / CONFIG), origin)
    require_shape(description.network.backbone, origin)
    return description.model_copy(update={"presets": (*tuned(folder), *description.presets)})
