"""Runs as `paumer train` leaves them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from paumer.config.network import Backbone, Decoder, Heads, NetworkSettings
from paumer.data.catalogue import DATASETS
from paumer.models.build import build, save_weights
from paumer.system.files import write_json

OPTIONS = {"patch_size": 8, "embed_dim": 32, "num_heads": 2}
CROP = (32, 48)
# `tune.json` as `paumer tune --output` writes it, of a network with heads after blocks 2 and 3.
TUNED = {
    **{"strategy": "pause", "criterion": "smoothed", "schedule": "2:0.5", "miou": 58.9, "drop": 0.4, "split": "train"},
    **{"images_per_s": 30.0, "speedup": 1.6, "gmac_ratio": 0.5, "unpaused": {"gmac": 3.0}},
    "timed": {"batch": 4, "windows": 8.0, "device": "a device"},
    "finalists": [
        {"strategy": "pause", "schedule": "2:0.5", "miou": 58.9, "drop": 0.4, "images_per_s": 30.0, "speedup": 1.6}
        | {"gmac_ratio": 0.5},
        {"strategy": "resize", "schedule": "scale:0.8", "miou": 58.5, "drop": 0.8, "images_per_s": 32.0, "speedup": 1.7}
        | {"gmac_ratio": 0.45},
    ],
}


def write_run(
    experiment: Path,
    recipe: str = "paumer",
    heads: tuple[int, ...] = (2, 3),
    dataset: str = "scenes",
    depth: int = 4,
    classes: Sequence[str] = (),
    **kind: Any,
) -> Path:
    """A finished run with random weights and heads of a kind, and the `data.json` of its experiment."""
    classes = list(classes or DATASETS[dataset].classes)
    network = NetworkSettings(
        backbone=Backbone(
            name="net", architecture="vit_tiny_patch16_224", options=OPTIONS | {"depth": depth}, weights="hub"
        ),
        decoder=Decoder(),
        heads=Heads(blocks=heads, **kind) if heads else None,
        classes=len(classes),
        class_frequencies=(1 / len(classes),) * len(classes),
        image_size=CROP,
    )
    torch.manual_seed(0)
    model = build(network, pretrained=False).requires_grad_(False)
    for value in model.parameters():
        value += 0.2 * torch.randn_like(value)
    folder = experiment / "runs" / "net" / recipe / "seed0"
    save_weights(model, folder / "model.safetensors")
    content = {"recipe": recipe, "seed": 0, "backbone": "net", "network": network.model_dump(mode="json")}
    write_json(folder / "run.json", content)
    terms = {"licence": "free", "citation": "nobody"}
    write_json(experiment / "data.json", {"dataset": dataset, "classes": classes, "splits": {}, **terms})
    return folder
