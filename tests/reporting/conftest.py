"""The synthetic experiment as fixtures, before and after the reporting stage."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from synthetic import Measured, write_measurements
from synthetic_maps import maps

from paumer.files import write_json
from paumer.reporting.figures import write_figures
from paumer.reporting.page import write_report
from paumer.reporting.points import read_main
from paumer.reporting.speed_table import write_speed
from paumer.reporting.tables import write_tables

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@dataclass(frozen=True)
class Reported:
    """A synthetic experiment with its tables, figures and page; only to be read."""

    measured: Measured
    tables: Path
    figures: Path
    page: Path


@pytest.fixture
def measured(tmp_path: Path) -> Measured:
    """The measurements, free to be changed."""
    return write_measurements(tmp_path)


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """The whole reporting stage, run once."""
    return report(write_measurements(tmp_path_factory.mktemp("reported")))


@pytest.fixture(scope="session")
def printed(reported: Reported) -> Path:
    """The folder of the figures for a paper."""
    inputs, output = reported.measured, reported.figures / "paper"
    table = reported.tables / "main.csv"
    write_figures(table, inputs.accuracy, inputs.training, inputs.semantics, output, paper=True)
    return output


@pytest.fixture
def main(reported: Reported) -> pd.DataFrame:
    """The main table."""
    return read_main(reported.tables / "main.csv")


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
    write_figures(result.tables / "main.csv", measured.accuracy, measured.training, measured.semantics, result.figures)
    # The smallest PNG there is stands in for the pause maps.
    (result.figures / "pause_maps.png").write_bytes(base64.b64decode(PIXEL))
    write_json(result.figures / "pause_maps.json", maps())
    write_report(
        "scenes",
        result.tables,
        result.figures,
        measured.flops,
        measured.throughput,
        measured.machine,
        measured.runs,
        measured.data,
        result.page,
    )
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
