"""What the viewer of pause maps shows: small pictures of class ids, grids of entropy and of where patches paused."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex
from PIL import Image

from paumer.data.datasets import Dataset
from paumer.reporting.colours import LOCATION_COLOURS
from paumer.reporting.plots_maps import PauseMap, Sample
from paumer.schedule import Schedule

# Longer side of a picture in pixels; more would show nothing more.
LARGEST = 640
# Entropy 0..1 in steps of a byte; the last value says that a patch had paused before.
STEPS, PAUSED = 250, 255
SHADES = 64


def viewer_data(
    network: str,
    samples: Sequence[Sample],
    schedules: Sequence[Schedule],
    maps: Sequence[Sequence[PauseMap]],
    dataset: Dataset,
) -> dict[str, Any]:
    """Everything that the viewer draws.

    Args:
        network: its name.
        samples: images and labels.
        schedules: from none to the strongest.
        maps: for each sample what each schedule did.
        dataset: names and colours of the classes.

    Returns:
        `network`, `classes` and their `colours`, `locations` (a colour for each), `shades` (of entropy, from 0 to 1),
        `schedules` (text, blocks, paused), and `samples`: name, width, height, grid (rows, columns), patch (pixels of
        its side in the picture), image, truth, and `runs`, one a schedule: prediction, paused_at, and entropy by block.
        Pictures are data URIs, those of class ids grey. Grids are base64 of a byte a patch, row after row.
    """
    return {
        "network": network,
        "classes": list(dataset.classes),
        "colours": ["#{:02x}{:02x}{:02x}".format(*colour) for colour in dataset.colours],
        "locations": list(LOCATION_COLOURS),
        "shades": [to_hex(colour) for colour in mpl.colormaps["viridis"](np.linspace(0, 1, SHADES))],
        "schedules": [
            {"text": str(schedule), "blocks": list(schedule.blocks), "paused": round(schedule.paused, 4)}
            for schedule in schedules
        ],
        "samples": [_sample(sample, seen) for sample, seen in zip(samples, maps, strict=True)],
    }


def _sample(sample: Sample, maps: Sequence[PauseMap]) -> dict[str, Any]:
    height, width = sample.image.shape[-2:]
    rows, columns = maps[0].paused_at.shape
    scale = min(1.0, LARGEST / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = Image.fromarray(sample.image.permute(1, 2, 0).numpy()).resize(size, Image.Resampling.LANCZOS)
    return {
        "name": sample.name,
        "width": size[0],
        "height": size[1],
        "grid": [rows, columns],
        "patch": scale * max(-(-height // rows), -(-width // columns)),
        "image": _uri(image, "webp"),
        "truth": _ids(sample.labels.numpy().astype(np.uint8), size),
        "runs": [
            {
                "prediction": _ids(seen.prediction, size),
                "paused_at": _grid(seen.paused_at),
                "entropy": {str(block): _grid(_steps(values)) for block, values in seen.entropy.items()},
            }
            for seen in maps
        ],
    }


def _steps(entropy: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(entropy), PAUSED, np.nan_to_num(entropy).clip(0, 1) * STEPS).round()


def _grid(values: np.ndarray) -> str:
    return base64.b64encode(values.astype(np.uint8).tobytes()).decode()


def _ids(classes: np.ndarray, size: tuple[int, int]) -> str:
    """Class ids as grey values, the nearest where the picture is smaller."""
    return _uri(Image.fromarray(classes, "L").resize(size, Image.Resampling.NEAREST), "png")


def _uri(image: Image.Image, kind: str) -> str:
    content = io.BytesIO()
    image.save(content, kind, **({"quality": 88} if kind == "webp" else {"optimize": True}))
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
