"""The synthetic experiment as fixtures, before and after the reporting stage."""

import base64
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from browsing import Opened, browser
from synthetic import Measured, Reported, write_equal_speed, write_measurements
from synthetic_maps import maps
from tiers import once

from paumer.reporting.figures.write import write_figures
from paumer.reporting.frames import read_main
from paumer.reporting.page.page import write_report
from paumer.reporting.tables.speed import write_speed
from paumer.reporting.tables.write import write_tables
from paumer.system.files import ExperimentFiles, write_json

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """The whole reporting stage, run once."""

    def make(folder: Path) -> None:
        (folder / "reported.pickle").write_bytes(pickle.dumps(report(write_measurements(folder))))

    return pickle.loads((once(tmp_path_factory, "reported", make) / "reported.pickle").read_bytes())


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """The measurements alone, only to be copied."""
    return write_measurements(tmp_path_factory.mktemp("originals"))


@pytest.fixture
def measured(originals: Measured, tmp_path: Path) -> Measured:
    """The measurements, free to be changed."""
    shutil.copytree(originals.folder, tmp_path, dirs_exist_ok=True)

    def copied(paths: Path | list[Path]) -> Path | list[Path]:
        if isinstance(paths, list):
            return [copied(path) for path in paths]
        return tmp_path / paths.relative_to(originals.folder)

    return Measured(**{name: copied(paths) for name, paths in vars(originals).items()})


@pytest.fixture(scope="session")
def printed(reported: Reported) -> Path:
    """The folder of the figures for a paper."""
    inputs, output = reported.measured, reported.figures / "paper"
    table = reported.tables / "main.csv"
    equal = reported.tables / "equal_speed.csv"
    write_figures(table, inputs.accuracy, inputs.training, inputs.semantics, output, equal_speed=equal, paper=True)
    return output


@pytest.fixture
def main(reported: Reported) -> pd.DataFrame:
    """The main table, a row per operating point and batch."""
    return read_main(reported.tables / "main.csv")


@pytest.fixture
def wide(reported: Reported) -> pd.DataFrame:
    """The main table as main.csv has it: a row per operating point, columns for each batch."""
    return pd.read_csv(reported.tables / "main.csv", keep_default_na=False, na_values=[""]).fillna(
        {"recipe": "", "criterion": ""}
    )


@pytest.fixture
def accuracy(reported: Reported) -> pd.DataFrame:
    """What was measured of accuracy, by seed."""
    return pd.concat([pd.read_csv(path, keep_default_na=False) for path in reported.measured.accuracy])


def report(measured: Measured) -> Reported:
    """Run the whole reporting stage."""
    folder = measured.folder
    result = Reported(measured, folder / "tables", folder / "figures", folder / "report.html")
    tabulate(measured, result.tables)
    write_speed(measured.flops, measured.throughput, result.tables)
    table, drawn = result.tables / "main.csv", (measured.accuracy, measured.training, measured.semantics)
    equal = write_equal_speed(read_main(table), result.tables)
    write_figures(table, *drawn, result.figures, equal_speed=equal)
    # The smallest PNG there is stands in for the pause maps.
    (result.figures / "pause_maps.png").write_bytes(base64.b64decode(PIXEL))
    write_json(result.figures / "pause_maps.json", maps())
    write_report(ExperimentFiles(folder), measured.runs)
    return result


def tabulate(measured: Measured, output: Path) -> None:
    """Write the tables of measurements."""
    write_tables(
        measured.accuracy,
        measured.flops,
        measured.throughput,
        measured.bounds,
        measured.published,
        output,
        manifest=measured.data,
        attribution=[folder / "attribution.csv" for folder in measured.semantics],
        calibration=[folder / "calibration.csv" for folder in measured.semantics],
    )


@pytest.fixture(scope="session")
def run_reporting() -> Callable[[Measured], Reported]:
    """The whole reporting stage as a function."""
    return report


@pytest.fixture
def run_tables() -> Callable[[Measured, Path], None]:
    """Stage `tables` as a function."""
    return tabulate


@pytest.fixture
def edit() -> Callable[[Path, Callable[[pd.DataFrame], pd.DataFrame]], None]:
    """Change a CSV file in place."""

    def change(path: Path, function: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        function(pd.read_csv(path, keep_default_na=False, dtype=str)).to_csv(path, index=False)

    return change


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium."""
    with browser() as launched:
        yield launched


@pytest.fixture(scope="module")
def shared(chromium: Any, reported: Reported) -> Iterator[Opened]:
    """The report in it."""
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    yield Opened(page, reported.page)
    page.close()


@pytest.fixture
def opened(shared: Opened) -> Opened:
    """The report, with its controls as they were when it opened."""
    shared.page.eval_on_selector_all("form", "(forms) => forms.forEach((form) => form.reset())")
    shared.set("#explorer-form [name=backbone]", "tiny")
    shared.set("[name=batch]", "8")
    shared.set("[name=budget]", "drop")
    for form in ("#equal-form", "#classes-form", "#training-form"):
        shared.set(f"{form} [name=backbone]", "tiny")
    return shared


@pytest.fixture(scope="module")
def at_eight(reported: Reported) -> pd.DataFrame:
    """Operating points of `tiny` at batch 8, with the names of their methods."""
    table = read_main(reported.tables / "main.csv")
    return table[(table["backbone"] == "tiny") & (table["batch"] == 8)]
