"""`paumer predict`: a trained network on images of one's own."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from paumer.config import Evaluation
from paumer.data.loading import same_shape_batches
from paumer.deployment.files import COMPARISONS, PAUSES, Outputs, find_images, read_picture
from paumer.deployment.network import HubSegmenter, load_network
from paumer.deployment.pictures import check_cityscapes, draw_pauses, label_ids, overlay, side_by_side
from paumer.deployment.settings import PredictSettings
from paumer.models.inference import Predictions, predict
from paumer.models.weights import WEIGHTS, find_network
from paumer.strategies.contract import Strategy
from paumer.strategies.pause import Pause
from paumer.strategies.registry import OperatingPoint
from paumer.system.errors import PaumerError
from paumer.system.files import require_folder, sha256
from paumer.system.machine import autocast, find_device, lacks_memory, synchronize
from paumer.system.progress import progress

TOO_LARGE = "does not fit into the memory of the device; lower batch or window in --evaluation"
NAMED = 3  # images that could not be predicted, by name in the error


def predict_images(
    settings: PredictSettings,
    folder: Path,
    source: Path,
    output: Path,
    manifest: Path | None = None,
    evaluation: Evaluation | None = None,
) -> None:
    """Write predictions for an image or a folder of images; run again after a kill, it goes on where it stopped.

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
    network = load_network(folder, manifest, evaluation)
    predictor = Predictor(settings, network, folder)
    root, images = find_images(source)
    if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
        raise PaumerError(f"{output}: lies in the folder of the images; name another for the predictions")
    outputs = Outputs(output, root, images, predictor.kinds)
    weights = sha256(find_network(folder) / WEIGHTS)
    asked = settings.model_dump(mode="json", exclude={"device"}) | {"weights": weights, "point": str(predictor.main)}
    left = outputs.left(images, asked | {"evaluation": network.description.evaluation.model_dump(mode="json")})
    if len(left) < len(images):
        print(f"{len(images) - len(left)} of {len(images)} images were finished before")
    start = time.perf_counter()
    with progress(title="predict", total=len(left)) as bar:
        for several in predictor.groups(left):
            predictor.run(several, outputs)
            bar.update(len(several))
    predictor.report(time.perf_counter() - start, len(left), output)


@dataclass
class Predictor:
    """Predicts groups of images, and keeps account of time and of what went wrong.

    Attributes:
        settings: what to write.
        network: what predicts.
        folder: the network, as the user named it.
        main: the operating point of all that is no comparison.
        points: every operating point that runs, each once.
        kinds: what is written for an image.
        seconds: that the network took.
        failed: images that could not be predicted, with the reason.
    """

    settings: PredictSettings
    network: HubSegmenter
    folder: Path
    main: OperatingPoint = field(init=False)
    points: list[OperatingPoint] = field(init=False)
    kinds: list[str] = field(init=False)
    seconds: float = 0.0
    failed: dict[Path, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = self.settings
        if "cityscapes" in settings.kinds:
            check_cityscapes(self.network.description)
        self.main = settings.chosen(self.network.description.presets, self.folder)
        self.kinds = [*settings.kinds]
        self.kinds += [PAUSES] * settings.pause_maps + [COMPARISONS] * bool(settings.compare)
        wanted = [self.main] if settings.kinds else []
        self.points = list(dict.fromkeys([*wanted, *settings.compared]))
        self.strategies = [self.network.strategy_of(point) for point in self.points]
        self.pause: Strategy = self.network.strategy_of(self.main)
        if settings.pause_maps and not isinstance(self.pause, Pause):
            raise PaumerError(
                f"--pause-maps: strategy {self.main.strategy} pauses no patches; name a --schedule of strategy pause"
            )
        self.device = find_device(settings.device)
        self.network.to(self.device)

    def groups(self, images: Sequence[Path]) -> Iterator[list[tuple[Path, Tensor]]]:
        """Images (3, height, width) uint8 that run together: neighbours of one size that need one window each."""
        evaluation = self.network.description.evaluation
        return same_shape_batches(
            self._read(images),
            lambda item: item[1].shape,
            lambda shape: evaluation.batch if evaluation.is_one_pass(shape[-2:]) else 1,
        )

    def _read(self, images: Sequence[Path]) -> Iterator[tuple[Path, Tensor]]:
        """Read images; those that cannot be read are entered in `failed`."""
        for path in images:
            try:
                picture = read_picture(path)
            except PaumerError as error:
                self.failed[path] = str(error)
            except (MemoryError, RuntimeError) as error:
                if not lacks_memory(error):
                    raise
                self.failed[path] = f"{path}: {TOO_LARGE}"
            else:
                yield path, picture

    def run(self, several: list[tuple[Path, Tensor]], outputs: Outputs) -> None:
        """Predict a group of images of one size and write all that is asked for; one by one where memory is short."""
        if self._fits(several, outputs):
            return
        if len(several) > 1:
            for one in several:
                self.run([one], outputs)
        else:
            [(path, _)] = several
            self.failed[path] = f"{path}: {TOO_LARGE}"

    def _fits(self, several: list[tuple[Path, Tensor]], outputs: Outputs) -> bool:
        """Predict a group, and say whether memory sufficed."""
        try:
            self._run(several, outputs)
        except (MemoryError, RuntimeError) as error:
            if not lacks_memory(error):
                raise
            return False
        return True

    @torch.inference_mode()
    def _run(self, several: list[tuple[Path, Tensor]], outputs: Outputs) -> None:
        pictures = torch.stack([picture for _, picture in several])
        evaluation = self.network.description.evaluation
        synchronize(self.device)
        start = time.perf_counter()
        with autocast(self.device, evaluation.precision):
            runs = predict(self.network, pictures.to(self.device), self.strategies, evaluation)
            predicted = {self.points[index]: Predictions(made.classes.cpu(), made.macs) for index, made in runs}
        self.seconds += time.perf_counter() - start
        for number, (path, picture) in enumerate(several):
            pixels = picture.permute(1, 2, 0).numpy()
            classes = {point: made.classes[number].numpy() for point, made in predicted.items()}
            costs = {point: float(made.macs[number]) for point, made in predicted.items()}
            for kind in self.kinds:
                outputs.write(kind, path, self._picture(kind, pixels, classes, costs))

    def _picture(
        self,
        kind: str,
        pixels: np.ndarray,
        classes: dict[OperatingPoint, np.ndarray],
        costs: dict[OperatingPoint, float],
    ) -> np.ndarray:
        """What is written of one image: pixels (height, width[, 3]) uint8."""
        if kind == "overlay":
            return overlay(pixels, classes[self.main], self.network.description)
        if kind == "ids":
            return classes[self.main].astype(np.uint8)
        if kind == "cityscapes":
            return label_ids(classes[self.main])
        if kind == PAUSES:
            assert isinstance(self.pause, Pause)
            return draw_pauses(self.network, pixels, self.pause)
        return self._comparison(pixels, classes, costs)

    def _comparison(
        self, pixels: np.ndarray, classes: dict[OperatingPoint, np.ndarray], costs: dict[OperatingPoint, float]
    ) -> np.ndarray:
        """The image, and the prediction of every compared operating point with its cost."""
        first, *others = self.settings.compared
        titles = ["image", f"{_name(first)}: {costs[first] / 1e9:.4g} GMAC"]
        for point in others:
            differs = float((classes[point] != classes[first]).mean())
            titles.append(f"{_name(point)}: {costs[point] / 1e9:.4g} GMAC, {differs:.2%} of pixels differ")
        panels = [overlay(pixels, classes[point], self.network.description) for point in (first, *others)]
        return side_by_side([pixels, *panels], titles)

    def report(self, seconds: float, images: int, output: Path) -> None:
        """Say how fast it was.

        Raises:
            PaumerError: some images could not be predicted.
        """
        done = images - len(self.failed)
        if done:
            names = ", ".join(_name(point) for point in self.points)
            network = f"network ({names}) {self.seconds:.2f} s, {done / max(self.seconds, 1e-9):.4g} images/s"
            print(f"{done} images in {seconds:.2f} s, {done / seconds:.4g} images/s; {network}; written to {output}")
        if self.failed:
            reasons = list(self.failed.values())
            more = f"; and {len(reasons) - NAMED} more" if len(reasons) > NAMED else ""
            written = f"; the other {done} are in {output}" if done else ""
            raise PaumerError(
                f"{len(reasons)} of {images} images were not predicted: {'; '.join(reasons[:NAMED])}{more}{written}"
            )


def _name(point: OperatingPoint) -> str:
    return point.schedule if point.strategy in ("dense", "pause") else f"{point.strategy} {point.schedule}"
