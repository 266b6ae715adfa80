"""The table of robustness, with numbers by hand."""

import pandas as pd
import pytest

from paumer.reporting.tables.robustness import robustness_sheets, robustness_table
from paumer.system.errors import PaumerError

DENSE = {"recipe": "dense", "strategy": "dense", "criterion": "", "schedule": "dense"}
PAUSE = {"recipe": "paumer", "strategy": "pause", "criterion": "entropy", "schedule": "3:0.4"}
# mIoU on clean and on noisy images, of seeds 0 and 1.
MIOU = {"dense": ((60, 62), (50, 54)), "pause": ((59, 61.5), (48, 51))}


@pytest.fixture
def measured(tmp_path):
    rows = [
        {"backbone": "net", **point, "corruption": name, "strength": strength, "seed": seed, "miou": miou}
        | ({"certain_6": 0.9, "certain_3": 0.5 + seed / 5} if point is PAUSE else {})
        for point in (DENSE, PAUSE)
        for (name, strength), mious in zip((("none", 0), ("noise", 0.08)), MIOU[point["strategy"]], strict=True)
        for seed, miou in enumerate(mious)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "robustness.csv", index=False)
    return tmp_path / "robustness.csv"


def test_losses_are_paired_by_seed(measured):
    table = robustness_table(measured).set_index("corruption")
    assert table["dense_loss"].to_dict() == {"none": 0, "noise": 9}
    assert table["drop"].to_dict() == {"none": 0.75, "noise": 2.5}
    assert table.loc["noise", ["seeds", "drop_spread"]].tolist() == pytest.approx([2, 0.5**0.5], abs=1e-4)
    assert table["certain"].tolist() == [0.6, 0.6]  # of the head after block 3


def test_clean_images_stand_first(measured):
    [sheet] = robustness_sheets(robustness_table(measured))
    assert [row[:2] + row[3:5] for row in sheet.rows] == [
        ["none", "0", "paumer/pause/entropy", "3:0.4"],
        ["noise", "0.08", "paumer/pause/entropy", "3:0.4"],
    ]
    assert sheet.rows[1][2].startswith("9.00 [") and sheet.rows[1][-1] == "0.60"


def test_missing_dense_is_named(measured):
    table = pd.read_csv(measured, keep_default_na=False)
    table[(table["strategy"] != "dense") | (table["corruption"] == "none")].to_csv(measured, index=False)
    with pytest.raises(PaumerError, match="dense of recipe dense is missing"):
        robustness_table(measured)
