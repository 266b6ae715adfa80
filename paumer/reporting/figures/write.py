"""Write the figures of an experiment: those of the report for screens, or all of them in the sizes of a paper."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from paumer.reporting.figures import semantics as plots_semantics
from paumer.reporting.figures.drawing import PAPER, save, save_as, style
from paumer.reporting.figures.overview import overview
from paumer.reporting.figures.pareto import cost_spread, pareto_gmac, pareto_speed
from paumer.reporting.figures.results import (
    drop_per_class,
    drop_speedup,
    floor_overhead,
    speedup_gmac,
    throughput_batch,
    training,
)
from paumer.reporting.frames import read_main
from paumer.reporting.tables.speed import timed, timed_alone
from paumer.system.progress import progress

Plot = Callable[[], tuple[Figure, pd.DataFrame]]
SEMANTICS = ("composition", "uniform", "boundary", "correlation")
# Shown beyond the report, where lines stay sharp at any size.
ALSO_LINES = ("overview",)


def write_figures(
    main_table: Path,
    accuracy: Sequence[Path],
    logs: Sequence[Path],
    semantics: Sequence[Path],
    output: Path,
    *,
    equal_speed: Path | None = None,
    paper: bool = False,
) -> None:
    """Write the overview and the figures of accuracy, cost, training, semantics and speed.

    Args:
        main_table: main.csv, as `write_tables` writes it.
        accuracy: accuracy.csv of every run.
        logs: `.../runs/<backbone>/<recipe>/seed<k>/train.csv` of every run.
        semantics: folders that `paumer semantics` wrote, one for every run with auxiliary heads to look at; without
            any, no figure shows them.
        output: folder for the figures; other files in it stay.
        equal_speed: tables/equal_speed.csv, where methods are compared at equal speed.
        paper: instead of a `.png` and a `.csv` of exactly what is drawn, write a `.pdf` with embedded fonts for one and
            one for two columns; pareto_gmac, which the report has no need of, is among them.

    Raises:
        PaumerError: a file is unusable.
    """
    main = read_main(main_table)
    plots: dict[str, Plot] = {
        "overview": partial(overview, main),
        "pareto_speed": partial(pareto_speed, main),
        **({"pareto_gmac": partial(pareto_gmac, main)} if paper else {}),
        "cost_spread": partial(cost_spread, main),
        "drop_per_class": partial(drop_per_class, accuracy, main),
        "training": partial(training, logs),
    }
    if equal_speed is not None:
        plots["drop_speedup"] = partial(drop_speedup, equal_speed, main)
    if semantics:
        plots |= {f"semantics_{name}": partial(getattr(plots_semantics, name), semantics) for name in SEMANTICS}
        if all((folder / "calibration.csv").exists() for folder in semantics):
            plots["semantics_calibration"] = partial(plots_semantics.calibration, semantics)
    _save(plots | _of_speed(timed(main)), output, paper)


def write_speed_figures(speed: Path, output: Path, *, paper: bool = False) -> None:
    """Write the figures of speed alone, throughput_batch, speedup_gmac and floor_overhead, where no accuracy is known.

    Args:
        speed: speed.csv, as `write_speed` writes it; its first setting is shown.
        output: folder for the figures; other files in it stay.
        paper: see `write_figures`.

    Raises:
        PaumerError: the table is unusable.
    """
    _save(_of_speed(timed_alone(speed)), output, paper)


def _of_speed(points: pd.DataFrame) -> dict[str, Plot]:
    return {
        "throughput_batch": partial(throughput_batch, points),
        "speedup_gmac": partial(speedup_gmac, points),
        "floor_overhead": partial(floor_overhead, points),
    }


def _save(plots: Mapping[str, Plot], output: Path, paper: bool) -> None:
    """Draw each figure and save it, for the screen or in every format of a paper."""
    if not paper:
        with style():
            for name, plot in progress(plots.items(), title="drawing"):
                figure, data = plot()
                save(figure, data, output, name, ["png", "svg"] if name in ALSO_LINES else ["png"])
        return
    for chosen in PAPER:
        with style(chosen):
            for name, plot in progress(plots.items(), title=f"drawing for {chosen.name}"):
                save_as(plot()[0], [output / f"{name}_{chosen.name}.pdf"])
