"""Expected duration of each stage of an experiment, estimated from its settings alone. Imports no torch.

The time of a forward pass is proportional to the multiply-accumulates of the encoder. The constants were fitted to the
default experiment on two threads of a Xeon; `remaining` corrects the estimate while the workflow runs.
"""

import math
from dataclasses import dataclass
from itertools import product

from paumer.config.base import Size
from paumer.config.experiment import Experiment
from paumer.config.measuring import sweep_points
from paumer.config.network import Backbone
from paumer.config.runs import CostSettings, EvaluateSettings, TrainSettings
from paumer.data import ade20k, camvid, cityscapes, idd_lite, nyuv2
from paumer.strategies.registry import families_of
from paumer.system.progress import STARTUP

MACS_PER_SECOND = 5e10  # of one thread
GPU_THREADS = 100  # threads that one GPU is as fast as
BACKWARD = 2  # a backward pass in forward passes
ACTIVATION = 2.5e-7  # thread-seconds of training per channel, patch and block, apart from matrix products
STEP = 0.05  # seconds of overhead of a training step
DRAW_PIXEL, READ_PIXEL = 1.4e-6, 4e-8  # thread-seconds
BOUNDS_PIXEL = 3e-7  # seconds
SEMANTICS = 3  # an image of stage semantics in forward passes
KINDS_OF_CORRUPTION = 16  # with their strengths, and none
ROUNDS = 7  # of timing candidates, at most
WARM_UP = 4  # calibration and first calls in rounds of timing
WIDTHS = {"tiny": 192, "small": 384, "base": 768, "large": 1024}  # in timm's names
SIZES: dict[str, Size] = {  # of most images
    "camvid": (360, 480),
    "ade20k": (512, 683),
    "cityscapes": (1024, 2048),
    "idd_lite": (227, 320),
    "nyuv2": (480, 640),
}
IMAGES = {module.DATASET.name: module.IMAGES for module in (camvid, ade20k, cityscapes, idd_lite, nyuv2)}
UNKNOWN_SIZE, UNKNOWN_IMAGES = (512, 512), 1000  # of other datasets


@dataclass(frozen=True)
class Durations:
    """Expected seconds of the stages of an experiment, given the threads of the job.

    Attributes:
        experiment: the experiment.
        on_gpu: whether networks run on a GPU.
    """

    experiment: Experiment
    on_gpu: bool = False

    def data(self, threads: int) -> int:
        """Drawing or reading all images; the time of a download is not included."""
        scenes = self.experiment.data.dataset == "scenes"
        pixels = (self._train_images + self._eval_images) * math.prod(self._size)
        return round(STARTUP + pixels * (DRAW_PIXEL if scenes else READ_PIXEL) / threads)

    def train(self, backbone: str, recipe: str, threads: int) -> int:
        """One training run, by a recipe or an ablation."""
        settings = TrainSettings.of(self.experiment, backbone, recipe, seed=0)
        crops, size = settings.options.batch, settings.options.crop
        width, depth = _shape(settings.backbone)
        other = ACTIVATION * depth * _patches(size, settings.backbone) * width / self._threads(threads)
        step = STEP + crops * ((1 + BACKWARD) * self._forward(settings.backbone, size, threads) + other)
        return round(STARTUP + settings.phase.epochs * self._train_images / crops * step)

    def evaluate(self, backbone: str, recipe: str, threads: int) -> int:
        """One trained network at all its operating points."""
        settings, network = EvaluateSettings.of(self.experiment, backbone, recipe), self.experiment.backbone(backbone)
        points = 1 if network.control_for else len(sweep_points(settings.sweep))
        windows = len(settings.evaluation.window_corners(self._whole))
        passes = self._eval_images * settings.evaluation.views * windows * points
        return round(STARTUP + passes * self._forward(network, self._seen, threads))

    def robustness(self, backbone: str, threads: int) -> int:
        """Stage `robustness` of one trained network: its operating points and its heads under every corruption."""
        settings = self.experiment.robustness
        points = len(sweep_points(settings.sweep)) + 1
        images = min(settings.images, self._eval_images) * points * KINDS_OF_CORRUPTION
        return round(STARTUP + images * self._forward(self.experiment.backbone(backbone), self._seen, threads))

    def semantics(self, backbone: str, threads: int) -> int:
        """Stage `semantics` of one trained network."""
        image = SEMANTICS * self._forward(self.experiment.backbone(backbone), self._size, threads)
        return round(STARTUP + self._eval_images * image)

    def bounds(self) -> int:
        """Stage `bounds`: two passes over each split."""
        return round(STARTUP + 2 * (self._train_images + self._eval_images) * math.prod(self._size) * BOUNDS_PIXEL)

    def candidates(self, threads: int) -> int:
        """Times of a few schedules of every method, and of dense."""
        timing = self.experiment.throughput
        strategies = {method.strategy for method in self.experiment.comparison.methods}
        seconds = 0.0
        for backbone in self.experiment.main_backbones:
            heads, (_, depth) = (backbone.heads or self.experiment.heads).blocks, _shape(backbone)
            families = [family for strategy in strategies for family in families_of(strategy, heads, depth)]
            timed = sum(len(family.amounts) for family in families) + len(strategies)
            block = max(timing.block_seconds, max(timing.batches) * self._forward(backbone, self._seen, threads))
            seconds += (min(ROUNDS, timing.rounds) + WARM_UP) * timed * block
        return round(STARTUP + seconds)

    def throughput(self, threads: int) -> int:
        """Images/s of every operating point in every setting."""
        settings = CostSettings.of(self.experiment, timed=True)
        timing, points = settings.throughput, settings.fixed_points()
        fixed = len(points) + 1 + sum(point.strategy == "pause" for point in points)  # dense-again, floors
        varying = sum(len(named) + 2 for recipe in settings.recipes if (named := settings.image_points(recipe)))
        conditions = len(timing.dtypes) * len(timing.scopes)
        seconds = 0.0
        for backbone in settings.main_backbones:
            alike = len(timing.modes) * (fixed + len(settings.controls(backbone)))
            for size, batch in product(settings.sizes_of(backbone) or (self._seen,), timing.batches):
                image = self._forward(backbone, size, threads)
                block = max(timing.block_seconds, batch * image)
                several = max(timing.block_seconds, max(batch, timing.images) * image)
                seconds += conditions * (timing.rounds + WARM_UP) * (alike * block + varying * several)
        return round(STARTUP + seconds)

    @property
    def _train_images(self) -> int:
        return self._images(self.experiment.data.train_split, self.experiment.data.scenes.train_images)

    @property
    def _eval_images(self) -> int:
        return self._images(self.experiment.data.eval_split, self.experiment.data.scenes.val_images)

    def _images(self, split: str, drawn: int) -> int:
        data = self.experiment.data
        return drawn if data.dataset == "scenes" else IMAGES.get(data.dataset, {}).get(split, UNKNOWN_IMAGES)

    @property
    def _size(self) -> Size:
        """Height and width of an image."""
        data = self.experiment.data
        drawn = data.scenes.height, data.scenes.width
        return drawn if data.dataset == "scenes" else SIZES.get(data.dataset, UNKNOWN_SIZE)

    @property
    def _whole(self) -> Size:
        """Height and width at which evaluation sees an image."""
        return self.experiment.evaluation.seen_size(self._size)

    @property
    def _seen(self) -> Size:
        """Height and width of one forward pass of evaluation."""
        return self.experiment.evaluation.window_size(self._whole)

    def _forward(self, backbone: Backbone, size: Size, threads: int) -> float:
        """Seconds of a forward pass over one image."""
        (width, depth), patches = _shape(backbone), _patches(size, backbone)
        return depth * patches * width * (12 * width + 2 * patches) / (MACS_PER_SECOND * self._threads(threads))

    def _threads(self, threads: int) -> int:
        return GPU_THREADS if self.on_gpu else threads


def _patches(size: Size, backbone: Backbone) -> int:
    return math.prod(math.ceil(side / backbone.patch_size) for side in size)


def _shape(backbone: Backbone) -> tuple[int, int]:
    """Channels and blocks: from the options, else from the name in timm."""
    size = next((size for size in WIDTHS if f"_{size}_" in backbone.architecture), "base")
    depth = 24 if size == "large" else 12
    return int(backbone.options.get("embed_dim", WIDTHS[size])), int(backbone.options.get("depth", depth))
