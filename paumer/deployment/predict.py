"""`paumer predict`: the predictions of a trained network for images of the user's own, as files.

A run that was killed resumes: images whose files are newer than themselves are not predicted again.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from paumer.config.measuring import Evaluation
from paumer.data.loading import same_shape_batches
from paumer.deployment.frames import is_video
from paumer.deployment.images import find_images, read_picture
from paumer.deployment.network import HubSegmenter, load
from paumer.deployment.outputs import Outputs, first_reasons, require_outside
from paumer.deployment.pictures import check_cityscapes, draw_pauses, drawn, overlay, side_by_side
from paumer.deployment.settings import PredictSettings
from paumer.models.inference import predict
from paumer.models.weights import WEIGHTS, find_network
from paumer.strategies.pause import Pause
from paumer.strategies.registry import OperatingPoint
from paumer.system.errors import PaumerError
from paumer.system.files import require_folder, sha256
from paumer.system.machine import autocast, find_device, lacks_memory, synchronize
from paumer.system.progress import progress

PAUSES, COMPARISONS = "pause-maps", "compare"
TOO_LARGE = "does not fit into the memory of the device; lower batch or window in --evaluation"

Pictures = list[tuple[Path, Tensor]]  # images (3, height, width) uint8 of one size, with their files


def predict_images(
    settings: PredictSettings,
    folder: Path,
    source: Path,
    output: Path,
    manifest: Path | None = None,
    evaluation: Evaluation | None = None,
) -> None:
    """Write predictions for an image or a folder of images.

    Args:
        settings: what to write, at which operating point.
        folder: of a trained run or an exported network; `demo` for the one that comes with the package.
        source: an image, or a folder of them.
        output: folder to write to.
        manifest: `data.json` of the data of a run; by default that of its experiment.
        evaluation: how images are seen; by default as the network's folder says.

    Raises:
        PaumerError: something asked for is not possible; or, after all others were written, some images could not be
            predicted.
    """
    require_folder(output)
    network = load(folder, evaluation, manifest)
    if is_video(source):
        raise PaumerError(f"{source}: is a video; say with --fps how many frames a second are to be reached")
    predictor = Predictor(settings, network, folder)
    root, images = find_images(source)
    require_outside(output, source)
    outputs = Outputs(output, root, images, predictor.kinds)
    weights = sha256(find_network(folder) / WEIGHTS)
    request = settings.model_dump(mode="json", exclude={"device"}) | {"weights": weights, "point": str(predictor.main)}
    pending = outputs.pending(images, request | {"evaluation": network.evaluation.model_dump(mode="json")})
    if len(pending) < len(images):
        print(f"{len(images) - len(pending)} of {len(images)} images were finished before")
    start = time.perf_counter()
    with progress(title="predict", total=len(pending)) as bar:
        for several in predictor.groups(pending):
            predictor.run(several, outputs)
            bar.update(len(several))
    predictor.report(time.perf_counter() - start, len(pending), output)


class Predictor:
    """Predicts groups of images, and records time and failures.

    Attributes:
        main: the operating point of everything but comparisons.
        points: every operating point that runs, each once.
        kinds: what is written for an image.
        seconds: time that the network took.
        failed: images that could not be predicted, with the reason.
    """

    def __init__(self, settings: PredictSettings, network: HubSegmenter, folder: Path) -> None:
        if "cityscapes" in settings.kinds:
            check_cityscapes(network.description)
        self.settings, self.network, self.device = settings, network, find_device(settings.device)
        self.main = settings.chosen(network.description.presets, folder)
        self.kinds = [*settings.kinds, *[PAUSES] * settings.pause_maps, *[COMPARISONS] * bool(settings.compare)]
        self.points = list(dict.fromkeys([*([self.main] if settings.kinds else []), *settings.compared]))
        self.strategies = [network.strategy_of(point) for point in self.points]
        self.pause = network.strategy_of(self.main)
        if settings.pause_maps and not isinstance(self.pause, Pause):
            raise PaumerError(
                f"--pause-maps: strategy {self.main.strategy} pauses no patches; name a --schedule of strategy pause"
            )
        self.seconds, self.failed = 0.0, dict[Path, str]()
        network.to(self.device)

    def groups(self, images: Sequence[Path]) -> Iterator[Pictures]:
        """Images that run together: neighbours of one size that need one window each."""
        evaluation = self.network.evaluation
        return same_shape_batches(
            self._read(images),
            lambda item: item[1].shape,
            lambda shape: evaluation.batch if evaluation.is_one_pass(shape[-2:]) else 1,
        )

    def _read(self, images: Sequence[Path]) -> Iterator[tuple[Path, Tensor]]:
        """Read images; those that cannot be read are noted as failed."""
        for path in images:
            try:
                picture = read_picture(path)
            except PaumerError as error:
                self.failed[path] = str(error)
            except (MemoryError, RuntimeError) as error:
                self._require_memory_error(error, path)
            else:
                yield path, picture

    def run(self, several: Pictures, outputs: Outputs) -> None:
        """Predict a group and write all that is asked for; one by one where memory is short."""
        try:
            self._run(several, outputs)
        except (MemoryError, RuntimeError) as error:
            self._require_memory_error(error, several[0][0] if len(several) == 1 else None)
        else:
            return
        if len(several) > 1:  # outside the handler, so that the failed attempt holds no memory
            for one in several:
                self.run([one], outputs)

    def _require_memory_error(self, error: BaseException, path: Path | None) -> None:
        """Raise other errors than those of memory again; note the image, if one is named, as too large."""
        if not lacks_memory(error):
            raise error
        if path is not None:
            self.failed[path] = f"{path}: {TOO_LARGE}"

    @torch.inference_mode()
    def _run(self, several: Pictures, outputs: Outputs) -> None:
        pictures = torch.stack([picture for _, picture in several])
        evaluation = self.network.evaluation
        synchronize(self.device)
        start = time.perf_counter()
        with autocast(self.device, evaluation.precision):
            runs = predict(self.network, pictures.to(self.device), self.strategies, evaluation)
            predicted = {self.points[index]: (made.classes.cpu(), made.macs) for index, made in runs}
        self.seconds += time.perf_counter() - start
        for number, (path, picture) in enumerate(several):
            own = {point: (ids[number].numpy(), float(macs[number])) for point, (ids, macs) in predicted.items()}
            for kind in self.kinds:
                outputs.write(kind, path, self._picture(kind, picture, own))

    def _picture(
        self, kind: str, picture: Tensor, predicted: Mapping[OperatingPoint, tuple[np.ndarray, float]]
    ) -> np.ndarray:
        """One kind of output for an image, (height, width[, 3]) uint8.

        Args:
            kind: a format, pause map or comparison.
            picture: (3, height, width) uint8.
            predicted: class ids (height, width) and multiply-accumulates by operating point.
        """
        pixels = picture.permute(1, 2, 0).numpy()
        if kind == PAUSES:
            assert isinstance(self.pause, Pause)
            return draw_pauses(self.network, picture, self.pause)
        if kind == COMPARISONS:
            return self._comparison(pixels, predicted)
        classes, _ = predicted[self.main]
        return drawn(kind, pixels, classes, self.network.description)

    def _comparison(
        self, pixels: np.ndarray, predicted: Mapping[OperatingPoint, tuple[np.ndarray, float]]
    ) -> np.ndarray:
        """The image, and the prediction of every compared operating point with its cost."""
        first, *others = self.settings.compared
        reference, macs = predicted[first]
        titles, panels = ["image", f"{_name(first)}: {macs / 1e9:.4g} GMAC"], [pixels]
        panels += [overlay(pixels, predicted[point][0], self.network.description) for point in (first, *others)]
        for point in others:
            classes, macs = predicted[point]
            differs = float((classes != reference).mean())
            titles.append(f"{_name(point)}: {macs / 1e9:.4g} GMAC, {differs:.2%} of pixels differ")
        return side_by_side(panels, titles)

    def report(self, seconds: float, images: int, output: Path) -> None:
        """Print the speed.

        Raises:
            PaumerError: some images could not be predicted.
        """
        done = images - len(self.failed)
        if done:
            names = ", ".join(map(_name, self.points))
            network = f"network ({names}) {self.seconds:.2f} s, {done / max(self.seconds, 1e-9):.4g} images/s"
            print(f"{done} images in {seconds:.2f} s, {done / seconds:.4g} images/s; {network}; written to {output}")
        if self.failed:
            reasons = first_reasons(list(self.failed.values()))
            written = f"; the other {done} are in {output}" if done else ""
            raise PaumerError(f"{len(self.failed)} of {images} images were not predicted: {reasons}{written}")


def _name(point: OperatingPoint) -> str:
    return point.schedule if point.strategy in ("dense", "pause") else str(point)
