"""`paumer export hub`: a trained network as a folder that the hub, and `paumer.Segmenter.from_pretrained`, read.

`paumer export torch` and `paumer export onnx`: a trained network at one operating point as one file.

The file is checked before it gets its name: what it computes of two images must be what the network computes of them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from paumer.config import Evaluation, Size
from paumer.config.network import statistics_of
from paumer.deployment.description import Description
from paumer.deployment.network import HubSegmenter, load_network
from paumer.deployment.settings import GraphSettings
from paumer.models.graphs import Session, require_onnx, to_onnx, trace
from paumer.strategies.contract import Strategy
from paumer.strategies.criteria import CHANCE
from paumer.strategies.registry import OperatingPoint
from paumer.system.errors import PaumerError
from paumer.system.files import require_folder, require_writable, writing, writing_folder
from paumer.system.machine import describe_code


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


NOTES = "paumer.json"  # the extra file of a .pt2
INPUT = "images: (batch, 3, height, width) float32; RGB / 255, minus mean, over std"
OUTPUT = "logits: (batch, classes, height, width) float32"
BATCH = 2
TOLERANCE = 1e-3  # of the largest logit
TRIES = 3  # two patches of (almost) the same score may change places where runtimes round differently

Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Prepared:
    """A network, what it is to be exported as, and what the file says of itself."""

    network: HubSegmenter
    strategy: Strategy
    size: Size
    notes: dict[str, str]


def export_torch(
    settings: GraphSettings,
    folder: Path,
    output: Path,
    manifest: Path | None = None,
    evaluation: Evaluation | None = None,
) -> None:
    """Write a network as `torch.export` saves it: weights and graph, which need no PAUMER to run.

    Args:
        settings: operating point and size.
        folder: of a trained run or an exported network.
        output: file to write.
        manifest: `data.json` of the data of a run; by default that of its experiment.
        evaluation: how images are seen; by default as the folder says.

    Raises:
        PaumerError: it cannot be exported, or the file gives something else than the network.
    """
    require_writable(output, ".pt2")
    prepared = prepare(settings, folder, manifest, evaluation)
    program = trace(prepared.network, prepared.strategy, prepared.size)
    with writing(output) as temporary:
        torch.export.save(program, temporary, extra_files={NOTES: json.dumps(prepared.notes, indent=2)})
        difference = largest_difference(prepared, torch.export.load(temporary).module(), output)
    _report(output, prepared, difference)


def export_onnx(
    settings: GraphSettings,
    folder: Path,
    output: Path,
    manifest: Path | None = None,
    evaluation: Evaluation | None = None,
) -> None:
    """Write a network as an ONNX model of one file; arguments and errors are those of `export_torch`.

    Raises:
        PaumerError: also where ONNX is not installed or does not hold the network.
    """
    require_writable(output, ".onnx")
    require_onnx()
    prepared = prepare(settings, folder, manifest, evaluation)
    model = to_onnx(trace(prepared.network, prepared.strategy, prepared.size), "logits", prepared.notes)
    with writing(output) as temporary:
        temporary.write_bytes(model.SerializeToString())
        difference = largest_difference(prepared, Session(temporary, torch.device("cpu")), output)
    _report(output, prepared, difference)


def prepare(
    settings: GraphSettings, folder: Path, manifest: Path | None = None, evaluation: Evaluation | None = None
) -> Prepared:
    """Load a network and choose its operating point and size.

    Raises:
        PaumerError: it cannot run that, or no size is known.
    """
    network = load_network(folder, manifest, evaluation).requires_grad_(False)
    description = network.description
    point = settings.chosen(description.presets, folder)
    _check_fixed(point)
    size = settings.size or _seen(description.evaluation)
    return Prepared(network, network.strategy_of(point), size, describe(description, point, size))


def describe(description: Description, point: OperatingPoint, size: Size) -> dict[str, str]:
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
def largest_difference(prepared: Prepared, run: Run, output: Path) -> float:
    """By how much the logits of a file differ from the network's at most, on two images.

    Raises:
        PaumerError: by too much, whatever the images.
    """
    found = []
    for seed in range(TRIES):
        images = _blobs(prepared.size, seed)
        expected = prepared.network(images, prepared.strategy)
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


def _seen(evaluation: Evaluation) -> Size:
    """The size at which the network sees images.

    Raises:
        PaumerError: it sees them whole, whatever their size.
    """
    if evaluation.inference == "whole":
        raise PaumerError("--size: the network sees whole images, whose size may be any; name one, as --size 512x1024")
    return evaluation.window


def _check_fixed(point: OperatingPoint) -> None:
    """Refuse operating points that no graph can hold.

    Raises:
        PaumerError: what they compute depends on the images, or on chance.
    """
    if point.varies:
        raise PaumerError(
            f"{point}: computes more or less as the images show, which a fixed graph cannot; "
            "name a --schedule of fixed shares, as 3:0.4"
        )
    if point.criterion == CHANCE:
        raise PaumerError("--criterion random: draws anew in every pass, so no file could be checked; use another")


def _report(output: Path, prepared: Prepared, difference: float) -> None:
    height, width = prepared.size
    strategy = prepared.strategy
    print(
        f"{output}: {strategy}, {height} x {width} pixels, "
        f"{output.stat().st_size / 2**20:.1f} MB; largest difference from the network's logits {difference:.1e}"
    )
