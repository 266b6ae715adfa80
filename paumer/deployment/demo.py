"""`paumer demo`: what pausing does, seen within a minute, with the network that comes with the package."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tabulate import tabulate
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from paumer.data.datasets import ENDINGS
from paumer.deployment.api import measure, scenes, sweep
from paumer.deployment.images import read_picture
from paumer.deployment.network import HubSegmenter, load
from paumer.deployment.pictures import draw_pauses, joined, overlay, side_by_side
from paumer.models.weights import DEMO
from paumer.strategies.pause import Pause
from paumer.system.errors import PaumerError
from paumer.system.files import require_writable, writing

SCORED, TIMED, SHOWN = 32, 4, 3  # drawn scenes
ROUNDS, BLOCK_SECONDS = 5, 0.05  # enough for a first look
HEIGHT = 96  # of the scenes that the network was trained on; larger images are brought down to it
ENLARGED = 3  # so that patches and titles can be seen
DIFFERENT = np.array((213, 94, 0), dtype=np.uint8)
HEADINGS = {
    "schedule": "schedule",
    "miou": "mIoU",
    "drop": "drop",
    "agreement": "as dense",
    "gmac": "GMAC",
    "gmac_ratio": "GMAC ratio",
    "images_per_s": "images/s",
    "speed": "speed-up [95%]",
}
FORMS = {"miou": ".1f", "drop": ".1f", "agreement": ".1%", "gmac": ".3f", "gmac_ratio": ".2f", "images_per_s": ".3g"}


def demo(output: Path, image: Path | None, schedules: Sequence[str], seed: int = 0) -> None:
    """Run the demo network dense and at a few schedules; write a picture, and print what each costs and changes.

    Args:
        output: picture to write: image, where patches paused, prediction, and where that differs from dense.
        image: of one's own; without one scenes are drawn, whose labels are known.
        schedules: operating points of pausing; the picture shows the first.
        seed: of the scenes.

    Raises:
        PaumerError: a schedule is not possible, the image cannot be read, or the picture could not be written.
    """
    if not schedules:
        raise PaumerError("--schedules: is empty; name one or more, as 3:0.4,3:0.6")
    require_writable(output, *ENDINGS)
    network = load(DEMO)
    shown = network.with_schedule(schedules[0])
    if not isinstance(shown.strategy, Pause):
        raise PaumerError(f"--schedules {schedules[0]}: the first is drawn and must pause; write it like 3:0.4")
    images, labels = (_read(image), None) if image else scenes(SCORED, seed)
    table = sweep(network, images, schedules, labels)
    timed = measure(
        network, images[:TIMED], schedules, batch=len(images[:TIMED]), rounds=ROUNDS, block_seconds=BLOCK_SECONDS
    )
    rows = [_row(shown, picture) for picture in images[:SHOWN]]
    with writing(output) as temporary:
        Image.fromarray(joined(rows, axis=0)).save(temporary)
    print(_text(table, timed))
    again = timed[timed.strategy == "dense-again"].iloc[0]
    print(f"\ndense against itself: {_speed(again)}", end="")
    noisy = not again.speedup_low <= 1 <= again.speedup_high
    print("; it should hold 1: other programs disturbed the timing" if noisy else "")
    what = "mIoU, agreement and GMAC" if labels is not None else "agreement and GMAC"
    print(
        f"{what} of {len(images)} {'image' if image else 'drawn scenes'}, images/s of {len(images[:TIMED])} in a batch"
    )
    print(f"{output}: image, where patches paused at {schedules[0]}, prediction, difference to dense")


def _read(path: Path) -> Tensor:
    """An image, (1, 3, height, width) uint8, brought down to the height of what the network was trained on."""
    picture = read_picture(path)
    shortest = min(picture.shape[-2:])
    if shortest > HEIGHT:
        picture = resize(picture, [HEIGHT], antialias=True)
    return picture[None]


def _row(network: HubSegmenter, image: Tensor) -> np.ndarray:
    """Image, pauses, prediction, and where it differs from dense, side by side."""
    pixels = image.permute(1, 2, 0).numpy()
    dense, paused = (one.segment(image).cpu().numpy() for one in (network.with_schedule("dense"), network))
    assert isinstance(network.strategy, Pause)
    pauses = draw_pauses(network, image, network.strategy)[: len(pixels)]
    differs = np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    differs[paused != dense] = DIFFERENT
    panels = [pixels, pauses, overlay(pixels, paused, network.description), differs]
    titles = ["image", f"paused: {network.strategy.schedule_text}", "prediction"]
    titles += [f"{(paused != dense).mean():.1%} of pixels differ from dense"]
    return side_by_side([panel.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1) for panel in panels], titles)


def _text(table: pd.DataFrame, timed: pd.DataFrame) -> str:
    joined = table.merge(timed, on=["strategy", "criterion", "schedule"])
    joined = joined.assign(speed=[_speed(row) for _, row in joined.iterrows()])
    shown = [column for column in HEADINGS if column in joined]
    rows = [[format(row[column], FORMS.get(column, "")) for column in shown] for _, row in joined.iterrows()]
    return tabulate(rows, [HEADINGS[column] for column in shown], disable_numparse=True)


def _speed(row: pd.Series) -> str:
    return f"{row.speedup:.2f} [{row.speedup_low:.2f}, {row.speedup_high:.2f}]"
