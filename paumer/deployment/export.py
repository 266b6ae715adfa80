"""`paumer export hub`: a trained network as a folder that the hub, and `paumer.Segmenter.from_pretrained`, read."""

from pathlib import Path

from paumer.config import Evaluation
from paumer.deployment.network import HubSegmenter, load_network
from paumer.errors import PaumerError
from paumer.files import require_folder, writing_folder


def export_to_hub(
    folder: Path,
    output: Path,
    manifest: Path | None = None,
    evaluation: Evaluation | None = None,
    *,
    half: bool = False,
    speeds: bool = True,
    note: str = "",
) -> None:
    """Write weights, description and model card of a run; a folder that was exported before is replaced.

    Args:
        folder: of a trained run.
        output: folder to write.
        manifest: `data.json` of the data of the run; by default that of its experiment.
        evaluation: how images are to be seen; by default in windows as large as the training crops.
        half: store weights as float16; they are loaded as float32.
        speeds: also tell images/s and speed-ups that were measured.
        note: Markdown that the card shows under how the network was made.

    Raises:
        PaumerError: the folder holds no finished run, or `output` something else than an exported network;
            or weights are too large for float16.
    """
    require_folder(output)
    if output.exists() and not (output / "config.json").is_file() and any(output.iterdir()):
        raise PaumerError(f"{output}: holds something else than an exported network; name a new folder")
    network = load_network(folder, manifest, evaluation)
    presets = [preset if speeds else preset.without_speed() for preset in network.description.presets]
    network.description = network.description.model_copy(update={"presets": tuple(presets), "note": note})
    if half:
        _to_half(network, folder)
    with writing_folder(output) as temporary:
        network.save_pretrained(temporary)
    print(f"{output}: {network.description.name}; upload it with `hf upload USER/NAME {output}`")


def _to_half(network: HubSegmenter, folder: Path) -> None:
    """Turn weights into float16.

    Raises:
        PaumerError: one is beyond its range.
    """
    network.half()
    for name, value in network.state_dict().items():
        if not bool(value.isfinite().all()):
            raise PaumerError(f"{folder}: {name} is beyond the range of float16; export without --half")
