"""A governor: the most accurate operating point for every frame that meets a time.

A network may be given less of its device from one frame to the next, because other programs run there, too. How long a
frame takes, over how long it took when the governor started, is the load; what the last frames say of it decides which
operating point the next frame gets.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from paumer.config.base import Size
from paumer.data.loading import evenly
from paumer.deployment.presets import accuracies
from paumer.models.inference import predict, require_images
from paumer.models.optimized import METHODS, inference_form, runner
from paumer.models.segmenter import Segmenter
from paumer.strategies.notation import Schedule
from paumer.strategies.registry import OperatingPoint, families_of, operating_point, read_point
from paumer.system.errors import PaumerError
from paumer.system.machine import autocast, synchronize

SPARE = 0.05  # share of the time that a point must leave free to be chosen
PATIENCE, MOST_PATIENCE = 20, 320  # frames that must have been fast enough for a more accurate point
ROUNDS = 4  # in which every point is timed at the start; the first warms up
NEARER = 0.03  # a less accurate point that saves less of the time is left out
FAMILIES = 2  # every second family of schedules is looked at
TRIED = 8  # points of unknown accuracy, at most
REMEMBERED = 100_000  # frames
DENSE = OperatingPoint()


class Controller:
    """Chooses a point for every frame by what the last frames took. Knows no clock and no network.

    After a late frame comes the most accurate point that would have met the time under the load of that frame. A more
    accurate point is tried when each of the last `patience` frames would have met the time with it. Where it is late
    before as many frames have passed, the patience doubles, so that a constant load is left alone; where it lasts, the
    patience halves.

    Attributes:
        position: of the point for the next frame.
        patience: frames without a late one before a more accurate point is tried.
    """

    def __init__(self, expected: Sequence[float], limit: float) -> None:
        """Start without any load.

        Args:
            expected: seconds a frame takes at each point without load, falling; the most accurate point first.
            limit: seconds that a frame may take.
        """
        self.expected, self.limit = tuple(expected), limit
        self.position, self.patience = self.best(1.0), PATIENCE
        self._loads: list[float] = []  # since the last change of the point
        self._on_trial = False  # a more accurate point has not lasted yet

    def best(self, load: float) -> int:
        """The most accurate point that meets the time under a load, with some to spare; the fastest if none does."""
        meeting = (n for n, seconds in enumerate(self.expected) if (1 + SPARE) * load * seconds <= self.limit)
        return next(meeting, len(self.expected) - 1)

    def load(self, seconds: float) -> float:
        """What a frame at the present point took, over what is expected of it."""
        return seconds / self.expected[self.position]

    def observe(self, seconds: float) -> None:
        """Take what a frame at the present point took, and choose the point for the next one."""
        load = self.load(seconds)
        if seconds > self.limit:
            if self._on_trial:
                self.patience = min(2 * self.patience, MOST_PATIENCE)
            self._move(load, [load], on_trial=False)
            return
        self._loads.append(load)
        if len(self._loads) < self.patience:
            return
        if self._on_trial:
            self.patience, self._on_trial = max(self.patience // 2, PATIENCE), False
        del self._loads[: -self.patience]
        if self.position and self.best(highest := max(self._loads)) < self.position:
            self._move(highest, [], on_trial=True)

    def _move(self, load: float, loads: list[float], on_trial: bool) -> None:
        """Go to the best point under a load, and count loads anew."""
        self.position, self._loads, self._on_trial = self.best(load), loads, on_trial


class TimedPoint(NamedTuple):
    """An operating point on this device.

    Attributes:
        point: the operating point.
        miou: in points, as its presets know it; None: not known.
        gmac: multiply-accumulates of a frame.
        seconds: that a frame takes without load.
    """

    point: OperatingPoint
    miou: float | None
    gmac: float
    seconds: float


class Frame(NamedTuple):
    """What a frame got.

    Attributes:
        point: its operating point.
        seconds: from the image to its class ids.
        load: `seconds` over what the point took at the start.
        late: whether it took longer than it may.
    """

    point: OperatingPoint
    seconds: float
    load: float
    late: bool


class Governor:
    """Runs a network on frames, each at the most accurate operating point that will meet the time.

    Attributes:
        points: what is chosen from, the most accurate first; known from the first frame on.
        history: the last frames, at most 100 000.
    """

    def __init__(
        self, network: Segmenter, milliseconds: float = 33, points: Iterable[str | Schedule] | None = None
    ) -> None:
        """Prepare; the first frame of each size is also used to time the points.

        Args:
            network: as `load`, `wrap` and `load_segmenter` give it; on the device that it is on.
            milliseconds: that a frame may take.
            points: operating points to choose from, as for `sweep`. By default dense, those that presets of the network
                know, and pausing, also on smaller inputs, which is faster than these.

        Raises:
            PaumerError: the time is not above 0, or an operating point is not possible in this network.
        """
        if not isinstance(network, Segmenter):
            raise PaumerError(f"network: {type(network).__name__}; give what load, wrap or load_segmenter gives")
        if not isinstance(milliseconds, int | float) or not milliseconds > 0:
            raise PaumerError(f"milliseconds: {milliseconds!r} is no time; give a number above 0")
        if isinstance(points, str | Schedule):
            raise PaumerError(f"points: {str(points)!r} is one; give a list of them")
        self.network, self.limit = network, milliseconds / 1000
        self.points: list[TimedPoint] = []
        self.history: deque[Frame] = deque(maxlen=REMEMBERED)
        presets = getattr(getattr(network, "description", None), "presets", ())
        self._miou = {point: miou for point, miou in accuracies(presets).items() if _is_usual(network, point)}
        usual = [DENSE, *self._miou, *family_points(network)] if points is None else None
        chosen = usual or [read_point(str(point)) for point in points or ()]
        if not chosen:
            raise PaumerError("points: holds none; give one or more")
        self._networks = {
            point: network.with_schedule(point.schedule, point.strategy if point.parts else "", point.criterion)
            for point in dict.fromkeys(chosen)
        }
        self._usual, self._size = usual is not None, torch.Size()

    def __call__(self, image: Tensor) -> Tensor:
        """Class ids of a frame, (height, width) int64, on the device of the network.

        Args:
            image: RGB, (3, height, width), uint8. For the first of each size all points are timed.

        Raises:
            PaumerError: it is no such image.
        """
        require_images(image[None] if isinstance(image, Tensor) else image)
        if image.shape != self._size:
            self._start(image)
        timed = self.points[self._controller.position]
        labels, seconds = self._run(timed.point, image)
        self.history.append(Frame(timed.point, seconds, self._controller.load(seconds), late=seconds > self.limit))
        self._controller.observe(seconds)
        return labels

    def _start(self, image: Tensor) -> None:
        """Rank the points and time them on an image; begin with the best of those that are worth having."""
        self._runs = self._runs_on((int(image.shape[1]), int(image.shape[2])))
        ranked, measured = self._ranked(image), defaultdict[OperatingPoint, list[float]](list)
        for _ in range(ROUNDS):
            for point in ranked:
                measured[point].append(self._run(point, image)[1])
        self.points = []
        for point, gmac in ranked.items():
            seconds = min(measured[point])
            if not self.points or seconds < (1 - NEARER) * self.points[-1].seconds:
                self.points.append(TimedPoint(point, self._miou.get(point), gmac, seconds))
        self._controller = Controller([timed.seconds for timed in self.points], self.limit)
        self._size = image.shape

    def _ranked(self, image: Tensor) -> dict[OperatingPoint, float]:
        """The points with their GMAC, the most accurate first: by mIoU, or by GMAC where it is not known of all.

        Of the usual points those of unknown mIoU come last; a few stay that take less than all others.
        """
        strategies = [network.strategy for network in self._networks.values()]
        with torch.inference_mode():
            runs = predict(self.network, image[None].to(self.network.device), strategies, self.network.evaluation)
            counted = {index: float(made.macs) / 1e9 for index, made in runs}
        gmac = {point: counted[index] for index, point in enumerate(self._networks)}
        by_gmac = sorted(gmac, key=lambda point: -gmac[point])
        known = sorted(gmac.keys() & self._miou.keys(), key=lambda point: (-self._miou[point], gmac[point]))
        if not self._usual:
            return {point: gmac[point] for point in (known if len(known) == len(gmac) else by_gmac)}
        known = known or [DENSE]
        cheaper = [point for point in reversed(by_gmac) if gmac[point] < min(gmac[point] for point in known)]
        others = [cheaper[place] for place in reversed(evenly(len(cheaper), TRIED))]
        return {point: gmac[point] for point in (*known, *others)}

    @cached_property
    def _form(self) -> Segmenter:
        """The network in inference form."""
        return inference_form(self.network, self.network.evaluation.precision)

    def _runs_on(self, size: Size) -> dict[OperatingPoint, Callable[[Tensor], Tensor]]:
        """What gives class ids of images (1, 3, *size) at each point: the inference form where one pass does."""
        evaluation = self.network.evaluation
        if not (evaluation.is_one_pass(size) and evaluation.seen_size(size) == size):
            return {point: network.segment for point, network in self._networks.items()}
        labels = METHODS["labels"]
        return {point: runner(self._form, network.strategy, labels) for point, network in self._networks.items()}

    def _run(self, point: OperatingPoint, image: Tensor) -> tuple[Tensor, float]:
        """Class ids of an image at a point, and the seconds that took."""
        device = self.network.device
        synchronize(device)
        start = time.perf_counter()
        with torch.inference_mode(), autocast(device, self.network.evaluation.precision):
            labels = self._runs[point](image[None].to(device))[0]
        synchronize(device)
        return labels, time.perf_counter() - start


def family_points(network: Segmenter) -> list[OperatingPoint]:
    """Pausing after the first heads and on smaller inputs; without heads, smaller inputs alone."""
    heads, depth = network.pausing_blocks, network.encoder.depth
    points = []
    for strategy in ("pause", "resize>pause") if heads else ("resize",):
        for family in families_of(strategy, heads, depth)[::FAMILIES]:
            points += [operating_point(strategy, "", family.at(amount)) for amount in family.amounts]
    return [point for point in points if _is_usual(network, point)]


def _is_usual(network: Segmenter, point: OperatingPoint) -> bool:
    """Whether a network can run a point, in a time that does not depend on the image."""
    return not point.varies and not point.built.skip(network)
