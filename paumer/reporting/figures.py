"""Write the figures of an experiment."""

from collections.abc import Sequence
from pathlib import Path

from paumer.reporting.plots_classes import drop_per_class
from paumer.reporting.plots_cost import cost_spread
from paumer.reporting.plots_pareto import pareto_gmac, pareto_speed
from paumer.reporting.plots_speed import speedup_gmac, throughput_batch
from paumer.reporting.plots_training import loss_curves
from paumer.reporting.points import read_main
from paumer.reporting.style import save, style


def write_figures(main_table: Path, accuracy: Sequence[Path], training: Sequence[Path], output: Path) -> None:
    """Write pareto_speed, pareto_gmac, cost_spread, drop_per_class, throughput_batch, speedup_gmac and training.

    Each is an `.svg`, a `.png` and a `.csv` of exactly what is drawn.

    Args:
        main_table: main.csv, as `write_tables` writes it.
        accuracy: accuracy.csv of every run.
        training: `.../runs/<backbone>/<recipe>/seed<k>/train.csv` of every run.
        output: folder for the figures; other files in it stay.

    Raises:
        PaumerError: a file is unusable.
    """
    main = read_main(main_table)
    with style():
        drawn = {
            "pareto_speed": pareto_speed(main),
            "pareto_gmac": pareto_gmac(main),
            "cost_spread": cost_spread(main),
            "drop_per_class": drop_per_class(accuracy, main),
            "throughput_batch": throughput_batch(main),
            "speedup_gmac": speedup_gmac(main),
            "training": loss_curves(training),
        }
        for name, (figure, data) in drawn.items():
            save(figure, data, output, name)
