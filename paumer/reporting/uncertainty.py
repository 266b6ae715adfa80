"""Stage `uncertainty`: how much of every operating point's accuracy is lost to chance, by a paired bootstrap."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from paumer.evaluation.confusions import NAME, Confusions
from paumer.measurement.bootstrap import Replicates, drop_interval
from paumer.reporting.frames import MIOU, PIXELS, POINT
from paumer.reporting.reading import read_table
from paumer.system.errors import PaumerError
from paumer.system.files import require_writable, write_text
from paumer.system.progress import progress

DENSE_POINT = ("dense", "dense", "", "dense")  # recipe, strategy, criterion and schedule that drops are counted from
COLUMNS = [*POINT, "measure", "seeds", "images", "blocks", "drop", "low", "high"]


@dataclass(frozen=True)
class Run:
    """A finished run: whose it is, and the confusion matrices of its images."""

    backbone: str
    recipe: str
    seed: int
    confusions: Confusions

    @classmethod
    def of(cls, accuracy: Path) -> "Run":
        """The run of an accuracy.csv, whose confusions.npz is beside it.

        Raises:
            PaumerError: a file is unusable, or the two differ in their operating points.
        """
        table = read_table(accuracy, [*POINT, "seed"]).fillna("")
        confusions = Confusions(accuracy.with_name(NAME))
        if [tuple(row) for row in table[POINT[2:]].itertuples(index=False)] != confusions.points:
            raise PaumerError(f"{accuracy}: {NAME} beside it holds other operating points; evaluate the run again")
        first = table.iloc[0]
        return cls(str(first["backbone"]), str(first["recipe"]), int(first["seed"]), confusions)


def uncertainty(accuracy: Sequence[Path], output: Path) -> None:
    """Write the drop of every operating point from dense of recipe dense, with its 95% interval.

    One row per operating point and measure: mIoU, pixel accuracy, and the IoU of each class, in points. Replicates draw
    the seeds and the blocks of images, see `paumer.measurement.bootstrap`.

    Args:
        accuracy: accuracy.csv of every run, each with its confusions.npz beside it.
        output: a .csv file.

    Raises:
        PaumerError: a file is unusable, runs saw different images, or a seed lacks its dense run.
    """
    require_writable(output, ".csv")
    runs = [Run.of(path) for path in accuracy]
    if not runs:
        raise PaumerError("accuracy: no files are given; name the accuracy.csv of every run")
    _check_images(runs, accuracy)
    replicates = Replicates(runs[0].confusions.images.blocks)
    rows: list[dict[str, object]] = []
    with progress(title="uncertainty", total=len(runs)) as bar:
        for backbone in dict.fromkeys(run.backbone for run in runs):
            rows += _of_backbone([run for run in runs if run.backbone == backbone], replicates, bar.update)
    write_text(output, pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False, float_format="%.4f"))


def _check_images(runs: Sequence[Run], accuracy: Sequence[Path]) -> None:
    """Refuse runs that saw different images.

    Raises:
        PaumerError: two runs did.
    """
    first, *others = (run.confusions.images for run in runs)
    for images, path in zip(others, accuracy[1:], strict=True):
        if images != first:
            raise PaumerError(
                f"{path.with_name(NAME)}: its images, blocks or classes are not those of "
                f"{accuracy[0].with_name(NAME)}; evaluate both runs on the same data"
            )


def _of_backbone(runs: Sequence[Run], replicates: Replicates, done: Callable[[], object]) -> list[dict[str, object]]:
    """The rows of one backbone, a recipe after the other."""
    images = runs[0].confusions.images
    measured: dict[tuple[str, ...], dict[int, np.ndarray]] = {}  # by recipe and operating point, then seed
    for run in sorted(runs, key=lambda run: run.seed):
        for point, matrices in run.confusions:
            measured.setdefault((run.recipe, *point), {})[run.seed] = replicates.measures(matrices)
        done()
    dense = measured.get(DENSE_POINT, {})
    rows = []
    for key, by_seed in measured.items():
        if missing := by_seed.keys() - dense.keys():
            raise PaumerError(
                f"accuracy: {runs[0].backbone}, recipe dense, seed {min(missing)} is missing, from which the drops of "
                f"recipe {key[0]} are counted; train and evaluate it"
            )
        interval = drop_interval([dense[seed] for seed in by_seed], list(by_seed.values()))
        named = dict(zip(COLUMNS, (runs[0].backbone, *key), strict=False))
        counts = {"seeds": len(by_seed), "images": len(images.names), "blocks": len(replicates.blocks)}
        for measure, (drop, low, high) in zip((MIOU, PIXELS, *images.classes), interval.T, strict=True):
            rows.append(named | {"measure": measure, **counts, "drop": drop, "low": low, "high": high})
    return rows
