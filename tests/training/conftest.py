"""A few drawn scenes, the settings of a short run on them, and tiny networks."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from paumer.cli import main
from paumer.config.base import parse
from paumer.config.network import Backbone, Decoder, Heads, NetworkSettings
from paumer.config.runs import TrainSettings
from paumer.config.training import Exiting, Merging, Pausing, Resizing
from paumer.data.loading import SegmentationData
from paumer.data.manifest import samples
from paumer.models.build import build
from paumer.models.segmenter import Segmenter
from paumer.strategies.declared import WITH_HEADS
from paumer.training.loop import train
from paumer.training.optimization import Optimization

IMAGES = 6
SAME = ["step", "epoch", "learning_rate", "loss", "final_loss", "auxiliary_loss"]
BACKBONE = {
    "name": "net",
    "architecture": "vit_tiny_patch16_224",
    "options": {"patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2},
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Equal numbers to the last bit need equal numbers of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "data.json"
    scenes = f"{{train_images: {IMAGES}, val_images: 2, height: 32, width: 64}}"
    arguments = ["paumer", "data", "--settings", f"{{scenes: {scenes}}}", "--output", str(path), "--threads", "1"]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", arguments)
        main()
    assert not ended.value.code
    return path


@pytest.fixture(scope="session")
def data(manifest: Path) -> SegmentationData:
    return SegmentationData(*samples(manifest, "train"))


@pytest.fixture
def settings() -> Callable[..., TrainSettings]:
    """Settings of a run with everything that has a state: heads, pausing, Muon, dropped paths, augmentation."""

    def describe(
        epochs: float = 3,
        rate: float = 1e-3,
        options: dict[str, Any] | None = None,
        phase: dict[str, Any] | None = None,
        **more: Any,
    ) -> Any:
        rates = {"epochs": epochs, "learning_rate": rate, "head_learning_rate": rate}
        content = {
            "recipe": "paumer",
            "device": "cpu",
            "backbone": BACKBONE,
            "decoder": Decoder(sub_patch=2),
            "heads": Heads(blocks=(1, 2), gradient=0.5, adapter=8, context=3),
            "pausing": Pausing(),
            "phase": {"optimizer": "muon", **rates, **(phase or {})},
            "options": {
                "crop": (32, 64),
                "batch": 2,
                "drop_path": 0.1,
                "workers": 0,
                "checkpoint_minutes": 60,
                "precision": "float32",
                **(options or {}),
            },
        }
        return parse(TrainSettings, content | more, "test")

    return describe


@pytest.fixture
def of_recipe(settings: Callable[..., TrainSettings]) -> Callable[..., TrainSettings]:
    """Settings of a run of a recipe, with what it trains with and nothing else."""

    def describe(recipe: str, **more: Any) -> TrainSettings:
        parts = {
            "heads": Heads(blocks=(1, 2)) if recipe in WITH_HEADS else None,
            "pausing": Pausing() if recipe == "paumer" else None,
            "exiting": Exiting(keep=1) if recipe == "token-exit" else None,
            "merging": Merging(schedules=("1:0.3+2:0.1", "1:0.5")) if recipe == "merge" else None,
            "resizing": Resizing() if recipe == "resize" else None,
        }
        return settings(**({"recipe": recipe} | parts | more))

    return describe


@pytest.fixture(scope="session")
def make() -> Callable[..., Segmenter]:
    """Build a tiny network of float64 in eval mode with 5 classes."""

    def build_tiny(heads: tuple[int, ...] = (1, 2), sub_patch: int = 1) -> Segmenter:
        torch.manual_seed(0)
        described = NetworkSettings(
            backbone=Backbone(**BACKBONE),
            decoder=Decoder(sub_patch=sub_patch),
            heads=Heads(blocks=heads) if heads else None,
            classes=5,
            image_size=(32, 64),
        )
        return build(described).double().eval()

    return build_tiny


@pytest.fixture
def verb() -> Callable[..., list[str]]:
    """The arguments of `paumer train` for a run into a folder."""

    def arguments(settings: TrainSettings, manifest: Path, folder: Path, *more: str) -> list[str]:
        options = ["--settings", settings.model_dump_json(), "--data", manifest, "--output", folder / "run"]
        options += ["--checkpoint", folder / "checkpoint", "--threads", "1"]
        return ["train", *map(str, options), *more]

    return arguments


@pytest.fixture
def assert_same_run() -> Callable[[Path, Path], None]:
    """Assert that the weights and losses of two runs are equal to the last bit."""

    def check(first: Path, second: Path) -> None:
        weights, expected = (load_file(folder / "model.safetensors") for folder in (first, second))
        assert weights.keys() == expected.keys()
        for name, value in weights.items():
            assert torch.equal(value, expected[name]), name
        pd.testing.assert_frame_equal(*(pd.read_csv(folder / "train.csv")[SAME] for folder in (first, second)))

    return check


@pytest.fixture
def assert_whole(tmp_path: Path, manifest: Path, assert_same_run: Callable[[Path, Path], None]) -> Callable[..., None]:
    """Assert that a run in a folder is the uninterrupted one with these settings, and its checkpoint is gone."""

    def check(folder: Path, described: TrainSettings, data: Path = manifest, start: Path | None = None) -> None:
        train(described, data, tmp_path / "whole", tmp_path / "none", start)
        assert_same_run(folder, tmp_path / "whole")
        assert not (tmp_path / "checkpoint").exists()

    return check


@pytest.fixture
def interrupt(monkeypatch):
    """Run a training until just before a step, with a checkpoint of each."""

    def run(step, described, *arguments) -> None:
        original = Optimization.step
        each = described.options.model_copy(update={"checkpoint_minutes": 0.0})

        def stop(self, number):
            if number == step:
                raise KeyboardInterrupt
            original(self, number)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Optimization, "step", stop)
            train(described.model_copy(update={"options": each}), *arguments)

    return run
