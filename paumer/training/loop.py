"""The training loop: resumable at any step, bit for bit on a CPU with as many processes and passes as before.

How the images of a step are split over processes and passes changes only the order of sums: every random draw depends
on the seed and the step, or the number of the image, and every loss is divided by the weight of the whole step.
"""

import math
import random
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from paumer.config.network import NetworkSettings
from paumer.config.runs import TrainSettings
from paumer.config.training import EXECUTION
from paumer.data.loading import (
    SegmentationData,
    TrainingBatches,
    draw_seed,
    loader_errors,
    training_loader,
    training_transform,
)
from paumer.data.manifest import samples, split_info
from paumer.models.backbones import asked_for, described, normalization_of
from paumer.models.build import build, save_weights, start_from
from paumer.models.labels import balance_classes
from paumer.models.weights import trained_network
from paumer.system.errors import PaumerError
from paumer.system.files import WEIGHTS, read_json, require_folder, sha256, write_json
from paumer.system.locks import NAME, lock
from paumer.system.machine import autocast, describe_code, describe_environment
from paumer.system.progress import progress
from paumer.training import checkpoints
from paumer.training.checkpoints import Log
from paumer.training.distributed import AGAIN, DistributedContext, process_group
from paumer.training.objective import Objective, draw_strategy, total_pixel_weight
from paumer.training.optimization import DropPaths, Optimization, compile_blocks, compiling, learning_rate_factor

LOG_STEPS = 20


def train(settings: TrainSettings, manifest: Path, output: Path, checkpoint: Path, start: Path | None) -> None:
    """Train one network, or continue from the checkpoint of a killed run.

    Processes that `torchrun` started train it together; the first one shows progress and writes files.

    Args:
        settings: the run.
        manifest: `data.json` of the dataset.
        output: folder for `model.safetensors`, `run.json` and `train.csv`.
        checkpoint: folder for resumable state; removed at the end.
        start: folder of the shared run whose weights this run starts from.

    Raises:
        PaumerError: the loss is not finite, an input is not what it should be, or another process trains this run.
    """
    for folder in (output, checkpoint):
        require_folder(folder)
    with process_group(settings.device) as context, _lock(output, context), loader_errors(AGAIN):
        run = Run(settings, manifest, start, context)
        run.resume(checkpoint)
        if context.is_main:
            for line in run.describe():
                print(line, file=sys.stderr, flush=True)
            if settings.options.tensorboard:
                run.log.open_board(output / "tensorboard", run.step)
        title, last_save = f"train {settings.recipe}", time.monotonic()
        bar = progress(run.batches(), title=title, total=run.steps, done=run.step, shown=context.is_main)
        for images, labels in bar:
            run.train_step(images, labels)
            if run.step % LOG_STEPS == 0 or run.step == run.steps:
                bar.set_postfix(loss=f"{run.write_log():.3f}", refresh=False)
            due = time.monotonic() - last_save >= 60 * settings.options.checkpoint_minutes
            if due and context.is_main and run.step < run.steps:
                run.save(checkpoint)
                last_save = time.monotonic()
        if context.is_main:
            run.finish(output)
            checkpoints.remove(checkpoint)


def _lock(output: Path, context: DistributedContext) -> AbstractContextManager[None]:
    """Keep other jobs from training into the same folder, such as one that a killed workflow left on a cluster."""
    return lock(output / NAME, f"{output}: another process trains this run") if context.is_main else nullcontext()


class Run:
    """The state of one training run, the same in all processes that train it."""

    def __init__(
        self, settings: TrainSettings, manifest: Path, start: Path | None, context: DistributedContext
    ) -> None:
        dataset, found = samples(manifest, settings.split)
        options = settings.options
        described = split_info(manifest, settings.split, len(dataset.classes))
        frequencies, self.data_checksum = described["class_frequencies"], described.get("sha256")
        self.settings = settings
        self.context, self.device = context, context.device
        self.share = context.local_slice(options.batch)
        self.network = NetworkSettings(
            backbone=settings.backbone.model_copy(update={"normalization": normalization_of(settings.backbone)}),
            decoder=settings.decoder,
            heads=settings.heads,
            classes=len(dataset.classes),
            class_frequencies=tuple(frequencies.values()),
            image_size=options.crop,
            drop_path=options.drop_path,
        )
        torch.manual_seed(draw_seed(settings.seed, 0))
        self.trained = start or trained_network(settings.backbone.weights)
        self.model = build(self.network, pretrained=self.trained is None)
        self.steps_before = 0 if start is None else read_json(start / "run.json", steps=int)["steps"]
        self.start, self.fresh = "", list[str]()
        if self.trained is not None:
            self.fresh = start_from(self.model, self.trained / WEIGHTS)
            self.start = sha256(self.trained / WEIGHTS)
        self.model.to(self.device)
        self.model.train()
        self.drop_paths = DropPaths(self.model)
        if options.compile:
            compile_blocks(self.model)
        cache = Path(options.cache).expanduser() if options.cache else None
        self.data = SegmentationData(dataset, found, training_transform(options.augmentation, options.crop), cache)
        weights = balance_classes(list(frequencies.values()), options.class_balance)
        self.class_weights = weights if weights is None else weights.to(self.device)
        self.steps = max(1, round(settings.phase.epochs * len(found) / options.batch))
        self.optimization = Optimization(self.model, settings, self.steps)
        self.objective = context.parallel(Objective(self.model, settings.heads, self.class_weights))
        self.step, self.log = 0, Log()
        self.seconds_before, self.started = 0.0, time.monotonic()
        self.waited = 0.0  # for data, of these seconds

    @property
    def seconds(self) -> float:
        """Seconds of training, those of killed predecessors included."""
        return self.seconds_before + time.monotonic() - self.started

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """This process's slice of every remaining batch; a recipe phase continues the data of the shared phase."""
        first, batch = self.steps_before, self.settings.options.batch
        steps = (first + self.step, first + self.steps)
        keys = TrainingBatches(len(self.data), batch, self.settings.seed, *steps, self.share)
        loader = iter(training_loader(self.data, keys, self.settings.options.workers))
        for _ in range(len(keys)):
            asked = time.monotonic()
            batch = next(loader)
            self.waited += time.monotonic() - asked
            yield batch

    def parts(self) -> list[slice]:
        """Slices of a step's images, one for each forward pass of this process."""
        most = self.settings.options.device_batch or self.settings.options.batch
        starts = range(self.share.start, self.share.stop, most)
        return [slice(start, min(start + most, self.share.stop)) for start in starts]

    def describe(self) -> list[str]:
        """Lines on the weights that the run starts from, and on how the images of a step are split."""
        batch, devices, passes = self.settings.options.batch, self.context.count, self.parts()
        split = (
            f"batch of {batch} crops a step: {devices} {'device' if devices == 1 else 'devices'} x {len(passes)} "
            f"{'pass' if len(passes) == 1 else 'passes'} of {passes[0].stop - passes[0].start}"
        )
        start = f"starting from the weights of {self.trained}" if self.trained else ""
        start += f", without its {' and '.join(self.fresh)}" if self.fresh else ""
        return list(filter(None, [start, self._normalization(), split]))

    def _normalization(self) -> str:
        """A line on the input statistics of pretrained weights; empty without such weights."""
        wanted, taken = asked_for(self.settings.backbone), self.network.backbone.normalization
        if wanted is None or wanted == taken:
            return f"normalization of the weights: {described(taken)}" if wanted else ""
        return (
            f"normalization {described(taken)} is not that of the weights, {described(wanted)}; leave normalization of "
            f"backbone {self.settings.backbone.name} out to take theirs"
        )

    def train_step(self, images: Tensor, labels: Tensor) -> None:
        """One step on this process's slice of the images, in one or several passes.

        All randomness is drawn from the seed and the step.
        """
        options, parts = self.settings.options, self.parts()
        draw = draw_seed(self.settings.seed, self.steps_before + self.step)
        strategy = draw_strategy(self.settings, self.model.encoder.depth, random.Random(draw), self.step / self.steps)
        self.drop_paths.draw(options.batch, draw, self.device)
        images, labels = (tensor.to(self.device, non_blocking=True) for tensor in (images, labels))
        weight = self.context.sum(total_pixel_weight(labels, self.class_weights))
        losses = torch.zeros(3, device=self.device)
        for part in parts:
            own = slice(part.start - self.share.start, part.stop - self.share.start)
            torch.manual_seed(draw + part.start)  # for dropout, which no two images may share
            self.drop_paths.use_samples(part)
            with self.context.no_sync(self.objective, part != parts[-1]), compiling(options.compile):
                with autocast(self.device, options.precision):
                    total, parts_of_loss = self.objective(images[own], labels[own], strategy, weight)
                (total * self.context.count).backward()  # processes take the mean of their gradients
                losses += parts_of_loss
        self.log.recent.append(self.context.sum(losses))
        self.optimization.step(self.step)
        self.step += 1

    def write_log(self) -> float:
        """Add a row of mean losses since the last one; return the mean loss.

        Raises:
            PaumerError: it is not finite.
        """
        total, final, auxiliary = self.log.mean_losses()
        if not math.isfinite(total):
            raise PaumerError(
                f"training {self.settings.recipe}: loss is {total} before step {self.step}; lower the learning rates "
                "or set options.precision to float32"
            )
        batch, phase, seconds = self.settings.options.batch, self.settings.phase, self.seconds
        before = self.log.rows[-1] if self.log.rows else {"step": 0, "seconds": 0.0}
        self.log.add(
            {
                "step": self.step,
                "epoch": round((self.steps_before + self.step) * batch / len(self.data), 4),
                "learning_rate": phase.learning_rate * learning_rate_factor(self.step - 1, self.steps, phase),
                "loss": total,
                "final_loss": final,
                "auxiliary_loss": auxiliary,
                "waiting": self.waited / max(1e-9, seconds),
                "images_per_s": (self.step - before["step"]) * batch / max(1e-9, seconds - before["seconds"]),
                "seconds": seconds,
            }
        )
        return total

    def save(self, folder: Path) -> None:
        """Write a checkpoint."""
        checkpoints.save(
            folder,
            {
                "settings": self._identity(),
                "step": self.step,
                "seconds": self.seconds,
                "waited": self.waited,
                **self.log.state_dict(),
                "model": self.model.state_dict(),
                "optimizers": self.optimization.state_dict(),
            },
        )

    def resume(self, folder: Path) -> None:
        """Restore the state from the checkpoint, if there is one with these settings."""
        content = checkpoints.load(folder, self._identity())
        self.context.check_agreement(content["step"] if content else 0, folder)
        if content is None:
            return
        self.model.load_state_dict(content["model"])
        self.optimization.load_state_dict(content["optimizers"])
        self.log.load_state_dict(content, self.device)
        self.step = content["step"]
        self.seconds_before, self.waited = content["seconds"], content["waited"]

    def finish(self, output: Path) -> None:
        """Write weights, description and log."""
        self.log.write(output / "train.csv")
        save_weights(self.model, output / "model.safetensors")
        write_json(
            output / "run.json",
            {
                "backbone": self.settings.backbone.name,
                "recipe": self.settings.recipe,
                "variant": self.settings.variant,
                "seed": self.settings.seed,
                "steps": self.steps_before + self.steps,
                "epochs": self.log.rows[-1]["epoch"],
                "wall_seconds": round(self.seconds, 1),
                "waiting": round(self.log.rows[-1]["waiting"], 4),
                "final_loss": self.log.rows[-1]["final_loss"],
                "devices": self.context.count,
                "parameters": sum(value.numel() for value in self.model.parameters()),
                "data_sha256": self.data_checksum,
                "start_sha256": self.start,
                "code": describe_code(),
                "environment": describe_environment(self.device),
                "network": self.network.model_dump(mode="json"),
                "settings": self.settings.model_dump(mode="json"),
            },
        )

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must agree with: all that decides what is computed, not how it is executed."""
        return {
            **self.settings.model_dump(mode="json", exclude={"options": set(EXECUTION)}),
            "steps_before": self.steps_before,
            "steps": self.steps,
            "start": self.start,
            "data": self.data_checksum,
        }
