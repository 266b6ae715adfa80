"""The tables at equal speed: what was chosen beside what it was measured to do, here and for another dataset."""

from pathlib import Path

import pandas as pd
import pytest

from paumer.reporting.frames import MEASURES
from paumer.reporting.sheets import RESAMPLED
from paumer.reporting.tables.equal_speed import equal_speed_sheets, equal_speed_table
from paumer.reporting.tables.transfer import transfer_sheets, transfer_table
from paumer.system.errors import PaumerError

PAUSE = {"backbone": "net", "recipe": "paumer", "strategy": "pause", "criterion": "entropy"}
MERGE = {"backbone": "net", "recipe": "dense", "strategy": "merge", "criterion": ""}
DENSE = {"backbone": "net", "recipe": "dense", "strategy": "dense", "criterion": "", "schedule": "dense"}


def row(point: dict, drop: float, speedup: float) -> list[dict]:
    """An operating point of the main table at two batches, the larger one faster."""
    quality = {"seeds": 3, "miou": 60 - drop, "miou_spread": 0.1, "drop": drop, "drop_spread": 0.1}
    ends = {"drop_low": drop - 0.2, "drop_high": drop + 0.3}
    name = "/".join(filter(None, (point["recipe"], point["strategy"], point["criterion"])))
    timings = []
    for batch, factor in ((1, 0.9), (8, 1.0)):
        measured = dict.fromkeys(MEASURES, float("nan")) | {"images_per_s": 10 * speedup, "speedup": factor * speedup}
        measured |= {"speedup_low": factor * speedup - 0.02, "speedup_high": factor * speedup + 0.02}
        timings.append(point | quality | ends | {"method": name, "varies": False, "batch": batch} | measured)
    return timings


@pytest.fixture
def main() -> pd.DataFrame:
    points = [(DENSE, 0.0, 1.0), (PAUSE | {"schedule": "1:0.4"}, 0.5, 1.48), (PAUSE | {"schedule": "2:0.5"}, 0.9, 1.55)]
    points += [(MERGE | {"schedule": "1-8:0.05"}, 0.2, 1.51), (PAUSE | {"schedule": "1:0.6"}, 1.4, 2.03)]
    return pd.DataFrame([one for point in points for one in row(*point)])


def chosen(path: Path, *schedules: tuple[dict, str, float]) -> Path:
    rows = [
        method | {"schedule": text, "asked_speedup": asked, "candidates": 3, "select_drop": 0.1}
        for method, text, asked in schedules
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_choices_stand_beside_their_measurements_from_the_smallest_drop_on(main: pd.DataFrame, tmp_path: Path) -> None:
    path = chosen(tmp_path / "chosen.csv", (PAUSE, "1:0.6", 2.0), (PAUSE, "1:0.4", 1.5), (MERGE, "1-8:0.05", 1.5))
    [sheet] = equal_speed_sheets(equal_speed_table(main, path))
    assert sheet.rows == [
        ["1.50", "dense/merge", "0.20 [0.00, 0.50]", "1.51 [1.49, 1.53]", "0.10", "3", "1-8:0.05"],
        ["1.50", "paumer/pause/entropy", "0.50 [0.30, 0.80]", "1.48 [1.46, 1.50]", "0.10", "3", "1:0.4"],
        ["2.00", "paumer/pause/entropy", "1.40 [1.20, 1.70]", "2.03 [2.01, 2.05]", "0.10", "3", "1:0.6"],
    ]
    assert RESAMPLED in sheet.notes


def test_a_choice_that_was_not_evaluated_is_named(main: pd.DataFrame, tmp_path: Path) -> None:
    path = chosen(tmp_path / "chosen.csv", (PAUSE, "3:0.4", 1.5))
    with pytest.raises(PaumerError, match=r"accuracy and throughput: no row for .*3:0\.4"):
        equal_speed_table(main, path)


def test_what_another_dataset_chose_costs_the_difference(main: pd.DataFrame, tmp_path: Path) -> None:
    here = chosen(tmp_path / "chosen.csv", (PAUSE, "1:0.4", 1.5), (MERGE, "1-8:0.05", 1.5), (PAUSE, "1:0.6", 2.0))
    there = chosen(tmp_path / "other.csv", (PAUSE, "2:0.5", 1.5), (MERGE, "1-8:0.05", 1.5))
    table = transfer_table(*(equal_speed_table(main, path) for path in (here, there))).set_index("strategy")
    assert table["cost"].round(6).to_dict() == {"merge": 0.0, "pause": 0.4}
    [sheet] = transfer_sheets(table.reset_index())
    assert sheet.rows[1][-4:] == ["0.90 [0.70, 1.20]", "1.55 [1.53, 1.57]", "2:0.5", "0.40"]
