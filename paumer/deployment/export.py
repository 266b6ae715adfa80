"""`paumer export hub`: a trained network as a folder that the hub, and `paumer.Segmenter.from_pretrained`, read."""

from pathlib import Path

from paumer.config import Evaluation
from paumer.deployment.network import load_network
from paumer.errors import PaumerError
from paumer.files import writing_folder


def export_to_hub(
    folder: Path, output: Path, manifest: Path | None = None, evaluation: Evaluation | None = None
) -> None:
    """Write weights, description and model card of a run; a folder that was exported before is replaced.

    Args:
        folder: of a trained run.
        output: folder to write.
        manifest: `data.json` of the data of the run; by default that of its experiment.
        evaluation: how images are to be seen; by default in windows as large as the training crops.

    Raises:
        PaumerError: the folder holds no finished run, or `output` something else than an exported network.
    """
    if output.exists() and not (output / "config.json").is_file() and (not output.is_dir() or any(output.iterdir())):
        raise PaumerError(f"{output}: holds something else than an exported network; name a new folder")
    network = load_network(folder, manifest, evaluation)
    with writing_folder(output) as temporary:
        network.save_pretrained(temporary)
    print(f"{output}: {network.description.name}; upload it with `hf upload USER/NAME {output}`")
