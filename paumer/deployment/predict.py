"""`paumer predict`: the predictions of a trained network for images of the user's own, as files.

A run that was killed resumes: images whose files are newer than themselves are not predicted again.
"""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from paumer.config.measuring import Evaluation
from paumer.data.cityscapes import IMAGE_ENDING
from paumer.data.loading import same_shape_batches
from paumer.deployment.images import find_images, read_picture
from paumer.deployment.network import HubSegmenter, load
from paumer.deployment.pictures import check_cityscapes, draw_pauses, label_ids, overlay, side_by_side
from paumer.deployment.settings import PredictSettings
from paumer.models.inference import predict
from paumer.models.weights import WEIGHTS, find_network
from paumer.strategies.pause import Pause
from paumer.strategies.registry import OperatingPoint
from paumer.system.errors import PaumerError
from paumer.system.files import read_json, require_folder, sha256, stamp, write_json, writing
from paumer.system.machine import autocast, find_device, lacks_memory, synchronize
from paumer.system.progress import progress

RECORD = "predict.json"
PAUSES, COMPARISONS = "pause-maps", "compare"
OFFICIAL = re.compile(r"([^_]+_[0-9]+_[0-9]+)(_.*)?")  # city, sequence and frame
TOO_LARGE = "does not fit into the memory of the device; lower batch or window in --evaluation"
NAMED = 3  # images that could not be predicted, by name in the error

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
    predictor = Predictor(settings, network, folder)
    root, images = find_images(source)
    if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
        raise PaumerError(f"{output}: lies in the folder of the images; name another for the predictions")
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


class Outputs:
    """The folder that predictions are written to: a subfolder for each kind, in it the folders of the images.

    Attributes:
        folder: the whole.
        root: the folder that names of images are relative to.
        kinds: what is written for every image.

    Raises:
        PaumerError: two predictions would have one name, or an image has not the name of a Cityscapes image although
            the format needs it.
    """

    def __init__(self, folder: Path, root: Path, images: Sequence[Path], kinds: Sequence[str]) -> None:
        self.folder, self.root, self.kinds = folder, root, kinds
        for kind in kinds:
            taken: dict[Path, Path] = {}
            for image in images:
                path = self.path(kind, image)
                if path in taken:
                    raise PaumerError(f"{image} and {taken[path]}: both would be written to {path.name}; rename one")
                taken[path] = image

    def path(self, kind: str, image: Path) -> Path:
        """The file of one kind of prediction of an image."""
        if kind == "cityscapes":  # its evaluation finds files by the beginning of their names, in any folder
            found = OFFICIAL.fullmatch(image.name.removesuffix(IMAGE_ENDING))
            if found is None:
                raise PaumerError(
                    f"{image}: --format cityscapes needs names like CITY_SEQUENCE_FRAME{IMAGE_ENDING}; rename it"
                )
            return self.folder / kind / f"{found[1]}_pred_labelIds.png"
        return (self.folder / kind / image.relative_to(self.root)).with_suffix(".png")

    def pending(self, images: Iterable[Path], request: dict[str, Any]) -> list[Path]:
        """The images that an earlier run with the same request has not finished; records this request."""
        record = self.folder / RECORD
        same = record.is_file() and read_json(record) == request
        write_json(record, request)
        return [image for image in images if not (same and self._written(image))]

    def write(self, kind: str, image: Path, pixels: np.ndarray) -> None:
        """Write a picture, (height, width) or (height, width, 3) uint8, whole or not at all.

        Raises:
            PaumerError: the disk is full, or the folder is not to be written to.
        """
        with writing(self.path(kind, image)) as temporary:
            Image.fromarray(pixels).save(temporary)

    def _written(self, image: Path) -> bool:
        """Whether all kinds exist and are newer than the last change of the image, however old its content is."""
        if not image.is_file():
            return False
        changed = max(stamp(image)[1:])
        paths = [self.path(kind, image) for kind in self.kinds]
        return all(path.is_file() and stamp(path)[1] >= changed for path in paths)


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
        if kind == "overlay":
            return overlay(pixels, classes, self.network.description)
        return label_ids(classes) if kind == "cityscapes" else classes.astype(np.uint8)

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
            reasons = list(self.failed.values())
            more = f"; and {len(reasons) - NAMED} more" if len(reasons) > NAMED else ""
            written = f"; the other {done} are in {output}" if done else ""
            raise PaumerError(
                f"{len(reasons)} of {images} images were not predicted: {'; '.join(reasons[:NAMED])}{more}{written}"
            )


def _name(point: OperatingPoint) -> str:
    return point.schedule if point.strategy in ("dense", "pause") else str(point)
