"""Stage `choose`: of the candidates for a speed-up the most accurate one of every method."""

from pathlib import Path

import numpy as np
import pandas as pd

from paumer.reporting.frames import METHOD, POINT
from paumer.reporting.reading import read_table
from paumer.reporting.tables.main import add_drop
from paumer.system.errors import PaumerError
from paumer.system.files import require_writable, write_text

CANDIDATES = [*POINT, "asked_speedup"]
COLUMNS = [*CANDIDATES, "candidates", "select_drop", "held_out_drop"]


def choose(accuracy: Path, candidates: Path, output: Path) -> None:
    """Write the candidate of the highest mIoU, mean over seeds, of every method and speed-up; columns `COLUMNS`.

    `select_drop` is its mean drop on the split that it is chosen on. `held_out_drop` is that of candidates which are
    chosen without the seed they are scored by, mean over seeds; the difference is what choosing by seeds flatters.

    Args:
        accuracy: accuracy of all runs on the split that points are chosen on.
        candidates: what is tried.
        output: a .csv file.

    Raises:
        PaumerError: a file is unusable, or the accuracy of a candidate is missing.
    """
    require_writable(output, ".csv")
    scored = read_table(accuracy, [*POINT, "seed", "miou"]).fillna({"criterion": ""})
    tried = read_table(candidates, CANDIDATES).fillna({"criterion": ""})
    drops = add_drop(scored, "miou", ["backbone", "seed"])
    scores = {
        (*map(str, key), str(schedule)): group.groupby("seed")["drop"].mean()
        for (*key, schedule), group in drops.groupby(POINT)
    }
    rows = []
    for (*method, asked), group in tried.groupby([*METHOD, "asked_speedup"], sort=False):
        keys = [(*map(str, method), str(schedule)) for schedule in dict.fromkeys(group["schedule"])]
        if missing := [key for key in keys if key not in scores]:
            raise PaumerError(f"{accuracy}: lacks {' '.join(missing[0])}; evaluate the run again")
        by_seed = np.array(pd.DataFrame([scores[key] for key in keys]).dropna(axis="columns"))
        best = int(by_seed.mean(axis=1).argmin())
        rows.append((*keys[best], asked, len(keys), by_seed[best].mean(), held_out(by_seed)))
    write_text(output, pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False, float_format="%.4f"))


def held_out(drops: np.ndarray) -> float:
    """Mean drop of the candidates that are best by all seeds but the one they are scored by; NaN for one seed.

    Args:
        drops: (candidates, seeds) in points.
    """
    seeds = drops.shape[1]
    if seeds < 2:
        return float("nan")
    others = drops.sum(axis=1, keepdims=True) - drops
    return float(drops[others.argmin(axis=0), np.arange(seeds)].mean())
