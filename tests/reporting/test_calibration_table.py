"""The table of calibration, and the figure with its sentence."""

import pandas as pd
import pytest
from synthetic import HEADS

from paumer.reporting.figures.semantics import calibration
from paumer.reporting.page.semantics import semantic_findings
from paumer.reporting.tables.calibration import calibration_sheet, calibration_table
from paumer.system.errors import PaumerError


def run(folder, seed, **errors):
    """calibration.csv of a run with two bins, whose blocks have these errors."""
    bins = {
        "bin": ["0.8 to 0.9", "0.9 to 1.0"],
        "pixels": [10, 30],
        "confidence": [0.85, 0.95],
        "accuracy": [0.8, None],
    }
    parts = [
        pd.DataFrame({"backbone": "net", "seed": seed, "block": int(name[1:]), **bins, "ece": error})
        for name, error in errors.items()
    ]
    folder.mkdir()
    pd.concat(parts).to_csv(folder / "calibration.csv", index=False)
    return folder / "calibration.csv"


def test_errors_are_means_over_the_seeds(tmp_path):
    paths = [run(tmp_path / "a", 0, b3=0.10, b0=0.02), run(tmp_path / "b", 1, b3=0.14, b0=0.04)]
    table = calibration_table(paths)
    assert table[["block", "seeds"]].values.tolist() == [[3, 2], [0, 2]]
    assert table["ece"].tolist() == pytest.approx([0.12, 0.03])
    assert calibration_sheet(table).rows == [
        ["net", "3", "2", "0.120 ± 0.028"],
        ["net", "last (final)", "2", "0.030 ± 0.014"],
    ]


def test_a_run_that_is_named_twice_is_refused(tmp_path):
    path = run(tmp_path / "a", 0, b3=0.1)
    with pytest.raises(PaumerError, match="more than one row"):
        calibration_table([path, path])


def test_curves_have_the_bins_that_hold_pixels(tmp_path):
    run(tmp_path / "a", 0, b3=0.10, b6=0.06, b0=0.02)
    figure, data = calibration([tmp_path / "a"])
    [panel] = figure.axes
    assert panel.get_legend_handles_labels()[1] == ["block 3", "block 6", "final prediction", "perfect"]
    assert data.dropna()["accuracy"].tolist() == [] and data["accuracy"].notna().sum() == 3
    [sentence] = semantic_findings(data, "semantics_calibration")
    assert "is 0.06 to 0.10 over the heads, and 0.02 of the final prediction" in sentence


def test_the_report_shows_it(reported):
    drawn = pd.read_csv(reported.figures / "semantics_calibration.csv")
    assert set(drawn["block"]) == {*HEADS, 0}
    assert "expected calibration error" in reported.page.read_text(encoding="utf-8")
