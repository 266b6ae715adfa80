"""`paumer export`: a trained network as an ONNX file, a `.pt2` of `torch.export`, or a folder as the hub has them.

A file holds one operating point. It is checked before it gets its name: its logits of two images must be those of the
network.
"""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from paumer.config.base import Size
from paumer.config.measuring import Evaluation
from paumer.config.network import statistics_of
from paumer.deployment.description import Description
from paumer.deployment.network import HubSegmenter, load
from paumer.deployment.settings import ExportSettings
from paumer.models.graphs import Session, require_onnx, to_onnx, trace
from paumer.strategies.contract import Strategy
from paumer.strategies.criteria import CHANCE
from paumer.strategies.registry import OperatingPoint
from paumer.system.errors import PaumerError
from paumer.system.files import require_folder, require_writable, writing, writing_folder
from paumer.system.machine import describe_code

ENDINGS = {"onnx": ".onnx", "torch": ".pt2"}
NOTES = "paumer.json"  # the extra file of a .pt2
INPUT = "images: (batch, 3, height, width) float32; RGB / 255, minus mean, over std"
OUTPUT = "logits: (batch, classes, height, width) float32"
BATCH = 2
TOLERANCE = 1e-3  # of the largest logit
TRIES = 3  # two patches of (almost) the same score may change places where runtimes round differently


def export(
    settings: ExportSettings,
    folder: Path,
    output: Path,
    manifest: Path | None = None,
    evaluation: Evaluation | None = None,
) -> None:
    """Write a network for others to use, in the format that the settings name or the ending of `output` says.

    Args:
        settings: format, and the options of that format.
        folder: of a trained run or an exported network.
        output: file or folder to write; a folder that was exported before is replaced.
        manifest: `data.json` of the data of a run; by default that of its experiment.
        evaluation: how images are seen; by default as the folder says.

    Raises:
        PaumerError: the network, the operating point or the output is not possible, an option has no effect on the
            format, or a file's logits differ from the network's.
    """
    form = settings.form or _form_of(output)
    settings.require_effect(form)
    if form == "hub":
        require_folder(output)
        if output.exists() and not (output / "config.json").is_file() and any(output.iterdir()):
            raise PaumerError(f"{output}: holds something else than an exported network; name a new folder")
        _write_folder(load(folder, evaluation, manifest), settings, folder, output)
        return
    require_writable(output, ENDINGS[form])
    if form == "onnx":
        require_onnx()
    network = load(folder, evaluation, manifest).requires_grad_(False)
    point = settings.chosen(network.description.presets, folder)
    _require_fixed(point)
    size = settings.size or _input_size(network.description.evaluation)
    strategy = network.strategy_of(point)
    with writing(output) as temporary:
        run = WRITERS[form](network, strategy, size, _notes(network.description, point, size), temporary)
        difference = _largest_difference(network, strategy, size, run, output)
    print(
        f"{output}: {strategy}, {size[0]} x {size[1]} pixels, {output.stat().st_size / 2**20:.1f} MB; largest "
        f"difference from the network's logits {difference:.1e}"
    )


def _form_of(output: Path) -> str:
    """The format that the ending of a name says; a folder has none.

    Raises:
        PaumerError: another ending.
    """
    found = next((form for form, ending in ENDINGS.items() if output.suffix.lower() == ending), "hub")
    if found == "hub" and output.suffix and not output.is_dir():
        raise PaumerError(
            f"{output}: ending {output.suffix} is unknown; name a file .onnx or .pt2, or a folder without an ending"
        )
    return found


def _write_folder(network: HubSegmenter, settings: ExportSettings, folder: Path, output: Path) -> None:
    """Write weights, description and model card; uploading them is up to the user.

    Raises:
        PaumerError: a weight is beyond the range of float16.
    """
    presets = [preset if settings.speeds else preset.without_speed() for preset in network.description.presets]
    network.description = network.description.model_copy(update={"presets": tuple(presets), "note": settings.note})
    if settings.half:
        network.half()
        for name, value in network.state_dict().items():
            if not bool(value.isfinite().all()):
                raise PaumerError(f"{folder}: {name} is beyond the range of float16; export without --half")
    with writing_folder(output) as temporary:
        network.save_pretrained(temporary)
    print(f"{output}: {network.description.name}; upload it with `hf upload USER/NAME {output}`")


def _write_torch(
    network: HubSegmenter, strategy: Strategy, size: Size, notes: dict[str, str], path: Path
) -> Callable[[Tensor], Tensor]:
    """Write a `.pt2`, weights and graph, which needs no PAUMER to run; return it, loaded again."""
    torch.export.save(trace(network, strategy, size), path, extra_files={NOTES: json.dumps(notes, indent=2)})
    return torch.export.load(path).module()


def _write_onnx(
    network: HubSegmenter, strategy: Strategy, size: Size, notes: dict[str, str], path: Path
) -> Callable[[Tensor], Tensor]:
    """Write an ONNX model of one file; return it, loaded again."""
    path.write_bytes(to_onnx(trace(network, strategy, size), "logits", notes).SerializeToString())
    return Session(path, torch.device("cpu"))


WRITERS = {"torch": _write_torch, "onnx": _write_onnx}


def _notes(description: Description, point: OperatingPoint, size: Size) -> dict[str, str]:
    """What a file says of itself; lists and mappings are JSON."""
    statistics = statistics_of(description.network.backbone.normalization)
    return {
        "name": description.name,
        "strategy": point.strategy,
        "criterion": point.criterion,
        "schedule": point.schedule,
        "height": str(size[0]),
        "width": str(size[1]),
        "input": INPUT,
        "output": OUTPUT,
        "mean": json.dumps(statistics.mean),
        "std": json.dumps(statistics.std),
        "classes": json.dumps(description.classes),
        "colours": json.dumps(description.colours),
        "dataset": description.dataset,
        "licence": description.licence,
        "citation": description.citation,
        "trained_by": json.dumps(description.code),
        "exported_by": json.dumps(describe_code()),
    }


@torch.inference_mode()
def _largest_difference(
    network: HubSegmenter, strategy: Strategy, size: Size, run: Callable[[Tensor], Tensor], output: Path
) -> float:
    """The largest difference between the logits of a file and those of the network, on two images.

    Raises:
        PaumerError: it is too large on all images.
    """
    found = []
    for seed in range(TRIES):
        images = _blobs(size, seed)
        expected = network(images, strategy)
        difference = float((run(images) - expected).abs().max())
        if difference <= TOLERANCE * float(expected.abs().max()):
            return difference
        found.append(difference)
    raise PaumerError(
        f"{output}: not written, because its logits differ from those of the network by {min(found):.2g}; use another "
        "format or strategy, and report it"
    )


def _blobs(size: Size, seed: int) -> Tensor:
    """Two images of smooth blobs and some noise, whose patches differ as those of photographs do."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.randn(BATCH, 3, 6, 9, generator=random)
    return functional.interpolate(coarse, size, mode="bicubic") + 0.2 * torch.randn(BATCH, 3, *size, generator=random)


def _input_size(evaluation: Evaluation) -> Size:
    """The size at which the network sees images.

    Raises:
        PaumerError: it sees them whole, so that there is no such size.
    """
    if evaluation.inference == "whole":
        raise PaumerError("--size: the network sees whole images, whose size may be any; name one, as --size 512x1024")
    return evaluation.window


def _require_fixed(point: OperatingPoint) -> None:
    """Refuse operating points that no graph can hold.

    Raises:
        PaumerError: their computation depends on the images, or on chance.
    """
    if point.varies:
        raise PaumerError(
            f"{point}: computes more or less as the images show, which a fixed graph cannot; "
            "name a --schedule of fixed shares, as 3:0.4"
        )
    if point.criterion == CHANCE:
        raise PaumerError("--criterion random: draws anew in every pass, so no file could be checked; use another")
