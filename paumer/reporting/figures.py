"""Write the figures of an experiment."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from paumer.progress import progress
from paumer.reporting import plots_semantics
from paumer.reporting.plots_classes import drop_per_class
from paumer.reporting.plots_cost import cost_spread
from paumer.reporting.plots_floor import floor_overhead
from paumer.reporting.plots_pareto import pareto_gmac, pareto_speed
from paumer.reporting.plots_speed import speedup_gmac, throughput_batch
from paumer.reporting.plots_training import loss_curves
from paumer.reporting.points import read_main
from paumer.reporting.style import PAPER, save, save_as, style
from paumer.reporting.variants import timed, timed_alone

Drawn = dict[str, tuple[Figure, pd.DataFrame]]


def write_figures(
    main_table: Path, accuracy: Sequence[Path], training: Sequence[Path], semantics: Sequence[Path], output: Path
) -> None:
    """Write pareto_speed, pareto_gmac, cost_spread, drop_per_class, training, and the figures of semantics and speed.

    Each is an `.svg`, a `.png` and a `.csv` of exactly what is drawn; and in folder `paper` a `.pdf` and an `.svg` for
    one and for two columns, with embedded fonts.

    Args:
        main_table: main.csv, as `write_tables` writes it.
        accuracy: accuracy.csv of every run.
        training: `.../runs/<backbone>/<recipe>/seed<k>/train.csv` of every run.
        semantics: folders that `paumer semantics` wrote, one for every run with auxiliary heads to look at; without
            any, no figure shows them.
        output: folder for the figures; other files in it stay.

    Raises:
        PaumerError: a file is unusable.
    """
    main = read_main(main_table)

    def drawn() -> Drawn:
        of_accuracy = {
            "pareto_speed": pareto_speed(main),
            "pareto_gmac": pareto_gmac(main),
            "cost_spread": cost_spread(main),
            "drop_per_class": drop_per_class(accuracy, main),
            "training": loss_curves(training),
        }
        return of_accuracy | _of_semantics(semantics) | _of_speed(timed(main))

    _save(drawn, output)


def write_speed_figures(speed: Path, output: Path) -> None:
    """Write the figures of speed alone, throughput_batch, speedup_gmac and floor_overhead, where no accuracy is known.

    Args:
        speed: speed.csv, as `write_speed` writes it; its first setting is shown.
        output: folder for the figures; other files in it stay.

    Raises:
        PaumerError: the table is unusable.
    """
    points = timed_alone(speed)
    _save(lambda: _of_speed(points), output)


def _of_semantics(folders: Sequence[Path]) -> Drawn:
    plots = {name: getattr(plots_semantics, name) for name in ("composition", "uniform", "boundary", "correlation")}
    return {f"semantics_{name}": plot(folders) for name, plot in plots.items()} if folders else {}


def _of_speed(points: pd.DataFrame) -> Drawn:
    return {
        "throughput_batch": throughput_batch(points),
        "speedup_gmac": speedup_gmac(points),
        "floor_overhead": floor_overhead(points),
    }


def _save(draw: Callable[[], Drawn], output: Path) -> None:
    """Draw and save for screens, and once more for every format of a paper."""
    with style():
        for name, (figure, data) in progress(draw().items(), title="drawing"):
            save(figure, data, output, name)
    for chosen in PAPER:
        with style(chosen):
            for name, (figure, _) in progress(draw().items(), title=f"drawing for {chosen.name}"):
                save_as(figure, [output / "paper" / f"{name}_{chosen.name}.{ending}" for ending in ("pdf", "svg")])
