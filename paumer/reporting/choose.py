"""Stage `choose`: of the candidates for a speed-up the most accurate one of every method."""

from pathlib import Path

import pandas as pd

from paumer.reporting.frames import is_dense, read_table
from paumer.system.errors import PaumerError
from paumer.system.files import require_writable, write_text

METHOD = ["backbone", "recipe", "strategy", "criterion"]
CANDIDATES = [*METHOD, "schedule", "asked_speedup"]
COLUMNS = [*CANDIDATES, "candidates", "select_drop"]


def choose(accuracy: Path, candidates: Path, output: Path) -> None:
    """Write the candidate of the highest mIoU, mean over seeds, of every method and speed-up; columns `COLUMNS`.

    Args:
        accuracy: accuracy of all runs on the split that points are chosen on.
        candidates: what is tried.
        output: a .csv file.

    Raises:
        PaumerError: a file is unusable, or the accuracy of a candidate is missing.
    """
    require_writable(output, ".csv")
    scored = read_table(accuracy, [*CANDIDATES[:-1], "miou"]).fillna({"criterion": ""})
    tried = read_table(candidates, CANDIDATES).fillna({"criterion": ""})
    means = dict(scored.groupby([*METHOD, "schedule"])["miou"].mean())
    dense = dict(scored[is_dense(scored)].groupby("backbone")["miou"].mean())
    rows = []
    for (*method, asked), group in tried.groupby([*METHOD, "asked_speedup"], sort=False):
        keys = [(*map(str, method), str(schedule)) for schedule in dict.fromkeys(group["schedule"])]
        if missing := [key for key in keys if key not in means]:
            raise PaumerError(f"{accuracy}: lacks {' '.join(missing[0])}; evaluate the run again")
        best = max(keys, key=means.__getitem__)
        rows.append((*best, asked, len(keys), dense[best[0]] - means[best]))
    write_text(output, pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False, float_format="%.4f"))
