"""The training loop: resumable at any step, bit for bit on a CPU."""

import hashlib
import math
import random
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from paumer.data.balance import balance_classes
from paumer.data.loading import SegmentationData, TrainingBatches, draw_seed, training_loader
from paumer.data.preparation import samples
from paumer.data.transforms import normalize, training_transform
from paumer.environment import describe_code, describe_environment
from paumer.errors import PaumerError
from paumer.files import read_json, write_json, write_text
from paumer.models.build import build, copy_weights, load_weights, save_weights
from paumer.progress import progress
from paumer.runtime import autocast, find_device
from paumer.stages import NetworkSettings, TrainSettings
from paumer.training import checkpoints
from paumer.training.optimization import Optimization, learning_rate_factor
from paumer.training.recipes import compute_losses, draw_strategy, teach

LOG_STEPS = 20


def train(settings: TrainSettings, manifest: Path, output: Path, checkpoint: Path, start: Path | None) -> None:
    """Train one network, or go on where a killed run stopped.

    Args:
        settings: the run.
        manifest: `data.json` of the dataset.
        output: folder for `model.safetensors`, `run.json` and `train.csv`.
        checkpoint: folder for resumable state; removed at the end.
        start: folder of the shared run whose weights this run starts from.

    Raises:
        PaumerError: the loss is not finite, or an input is not what it should be.
    """
    run = Run(settings, manifest, start)
    run.resume(checkpoint)
    last_save = time.monotonic()
    bar = progress(run.batches(), title=f"train {settings.recipe}", total=run.steps, done=run.step)
    for images, labels in bar:
        run.train_step(images, labels)
        if run.step % LOG_STEPS == 0 or run.step == run.steps:
            bar.set_postfix(loss=f"{run.write_log():.3f}", refresh=False)
        if time.monotonic() - last_save >= 60 * settings.options.checkpoint_minutes and run.step < run.steps:
            run.save(checkpoint)
            last_save = time.monotonic()
    run.finish(output)
    checkpoints.remove(checkpoint)


class Run:
    """The state of one training run."""

    def __init__(self, settings: TrainSettings, manifest: Path, start: Path | None) -> None:
        dataset, found = samples(manifest, settings.split)
        options = settings.options
        described = read_json(manifest)["splits"][settings.split]
        frequencies, self.data_checksum = described["class_frequencies"], described.get("sha256")
        self.settings = settings
        self.device = find_device(settings.device)
        self.network = NetworkSettings(
            backbone=settings.backbone,
            decoder=settings.decoder,
            heads=settings.heads,
            classes=len(dataset.classes),
            class_frequencies=tuple(frequencies.values()),
            image_size=options.crop,
            drop_path=options.drop_path,
        )
        torch.manual_seed(draw_seed(settings.seed, 0))
        self.model = build(self.network, pretrained=start is None)
        self.steps_before, self.start = 0, ""
        if start is not None:
            path = start / "model.safetensors"
            self.start = hashlib.sha256(path.read_bytes()).hexdigest()
            copy_weights(self.model, load_weights(path), path, new_heads=True)
            self.steps_before = read_json(start / "run.json")["steps"]
        self.model.to(self.device)
        self.taught_share = settings.pausing.distillation if settings.pausing else 0.0
        self.teacher = deepcopy(self.model).eval().requires_grad_(False) if self.taught_share else None
        self.model.train()
        self.data = SegmentationData(dataset, found, training_transform(options.augmentation, options.crop))
        weights = balance_classes(list(frequencies.values()), options.class_balance)
        self.class_weights = None if weights is None else weights.to(self.device)
        self.steps = max(1, round(settings.phase.epochs * len(found) / options.batch))
        self.optimization = Optimization(self.model, settings, self.steps)
        self.step = 0
        self.log: list[dict[str, float]] = []
        self.recent: list[Tensor] = []
        self.seconds_before, self.started = 0.0, time.monotonic()
        self.waited = 0.0  # for data, of these seconds

    @property
    def seconds(self) -> float:
        """Seconds of training, those of killed predecessors included."""
        return self.seconds_before + time.monotonic() - self.started

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches still to train on; the recipe phase goes on in the data where the shared phase ended."""
        first = self.steps_before
        keys = TrainingBatches(
            len(self.data), self.settings.options.batch, self.settings.seed, first + self.step, first + self.steps
        )
        loader = iter(training_loader(self.data, keys, self.settings.options.workers))
        for _ in range(len(keys)):
            asked = time.monotonic()
            batch = next(loader)
            self.waited += time.monotonic() - asked
            yield batch

    def train_step(self, images: Tensor, labels: Tensor) -> None:
        """One step; all randomness is drawn from the seed and the step."""
        draw = draw_seed(self.settings.seed, self.steps_before + self.step)
        torch.manual_seed(draw)
        images = normalize(images.to(self.device, non_blocking=True), self.settings.backbone.normalization)
        with autocast(self.device, self.settings.options.precision):
            teaching = teach(self.teacher, images, self.taught_share) if self.teacher else None
            losses = compute_losses(
                self.model,
                images,
                labels.to(self.device, non_blocking=True),
                draw_strategy(self.settings, self.model.encoder.depth, random.Random(draw), self.step / self.steps),
                self.settings.heads,
                self.class_weights,
                teaching,
            )
        self.optimization.step(losses.total, self.step)
        self.recent.append(torch.stack([losses.total, losses.final, losses.auxiliary]).detach())
        self.step += 1

    def write_log(self) -> float:
        """Add a row of mean losses since the last one; give the mean loss.

        Raises:
            PaumerError: it is not finite.
        """
        total, final, auxiliary = torch.stack(self.recent).mean(dim=0).tolist()
        if not math.isfinite(total):
            raise PaumerError(
                f"training {self.settings.recipe}: loss is {total} before step {self.step}; lower the learning rates "
                "or set options.precision to float32"
            )
        batch = self.settings.options.batch
        before = self.log[-1] if self.log else {"step": 0, "seconds": 0.0}
        seconds = self.seconds
        self.log.append(
            {
                "step": self.step,
                "epoch": round((self.steps_before + self.step) * batch / len(self.data), 4),
                "learning_rate": self.settings.phase.learning_rate
                * learning_rate_factor(self.step - 1, self.steps, self.settings.phase),
                "loss": total,
                "final_loss": final,
                "auxiliary_loss": auxiliary,
                "waiting": self.waited / max(1e-9, seconds),
                "images_per_s": (self.step - before["step"]) * batch / max(1e-9, seconds - before["seconds"]),
                "seconds": seconds,
            }
        )
        self.recent = []
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
                "log": self.log,
                "recent": self.recent,
                "model": self.model.state_dict(),
                "optimizers": self.optimization.state_dict(),
            },
        )

    def resume(self, folder: Path) -> None:
        """Go on from the checkpoint, where there is one of this very run."""
        content = checkpoints.load(folder, self._identity())
        if content is None:
            return
        self.model.load_state_dict(content["model"])
        self.optimization.load_state_dict(content["optimizers"])
        self.step, self.log = content["step"], content["log"]
        self.seconds_before, self.waited = content["seconds"], content["waited"]
        self.recent = [losses.to(self.device) for losses in content["recent"]]

    def finish(self, output: Path) -> None:
        """Write weights, description and log."""
        write_text(output / "train.csv", pd.DataFrame(self.log).to_csv(index=False, float_format="%.6g"))
        save_weights(self.model, output / "model.safetensors")
        write_json(
            output / "run.json",
            {
                "backbone": self.settings.backbone.name,
                "recipe": self.settings.recipe,
                "variant": self.settings.variant,
                "seed": self.settings.seed,
                "steps": self.steps_before + self.steps,
                "epochs": self.log[-1]["epoch"],
                "wall_seconds": round(self.seconds, 1),
                "waiting": round(self.log[-1]["waiting"], 4),
                "final_loss": self.log[-1]["final_loss"],
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
        """What a checkpoint must agree with."""
        return {
            **self.settings.model_dump(mode="json"),
            "steps_before": self.steps_before,
            "steps": self.steps,
            "start": self.start,
        }
