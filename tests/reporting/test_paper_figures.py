"""Figures in the sizes of a paper."""

import re

import pandas as pd
import pytest
from matplotlib.text import Text
from tiers import first

from paumer.reporting.figures import semantics as plots_semantics
from paumer.reporting.figures.drawing import PAPER, SCREEN, legend_below, panels, sized, style
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
from paumer.reporting.figures.write import write_speed_figures
from paumer.reporting.tables.speed import timed

WIDTHS = {"one_column": 85, "two_columns": 180}  # millimetres
SMALLEST = 5  # points


@pytest.fixture(scope="module")
def printed_speed(reported, tmp_path_factory):
    """The folder of the figures of speed alone, for a paper."""
    output = tmp_path_factory.mktemp("speed")
    write_speed_figures(reported.tables / "speed.csv", output, paper=True)
    return output


NAMES = ["floor_overhead", "overview", "pareto_speed", "drop_per_class", "semantics_boundary"]


@pytest.mark.parametrize("name", first(NAMES))
@pytest.mark.parametrize("columns", WIDTHS)
def test_figures_are_as_wide_as_the_columns_and_embed_their_fonts(request, name, columns):
    folder = request.getfixturevalue("printed_speed" if name == "floor_overhead" else "printed")
    content = (folder / f"{name}_{columns}.pdf").read_bytes()
    width = float(re.search(rb"/MediaBox \[ 0 0 ([0-9.]+) ", content)[1])
    assert width / 72 * 25.4 == pytest.approx(WIDTHS[columns], abs=0.1)
    assert b"/FontFile2" in content
    assert b"/Type3" not in content


@pytest.mark.exhaustive
def test_a_paper_has_all_figures_of_the_report_and_one_more(reported, printed):
    drawn = {path.stem for path in reported.figures.glob("*.csv")} | {"pareto_gmac"}
    assert {path.name for path in printed.iterdir()} == {f"{name}_{width}.pdf" for name in drawn for width in WIDTHS}


@pytest.mark.exhaustive
def test_paper_figures_are_the_same_twice(printed, main, tmp_path):
    from paumer.reporting.figures.drawing import save_as

    for chosen in PAPER:
        with style(chosen):
            figure, _ = pareto_gmac(main)
            save_as(figure, [tmp_path / "again.pdf"])
        assert (printed / f"pareto_gmac_{chosen.name}.pdf").read_bytes() == (tmp_path / "again.pdf").read_bytes()


@pytest.mark.exhaustive
@pytest.mark.parametrize("chosen", [*PAPER, SCREEN], ids=lambda chosen: chosen.name or "screen")
def test_no_text_is_cut_off_or_too_small(reported, main, chosen):
    inputs = reported.measured
    with style(chosen):
        drawn = [
            *(overview(main), overview(main[main["backbone"] == "tiny"]), pareto_speed(main), pareto_gmac(main)),
            *(cost_spread(main), drop_per_class(inputs.accuracy, main)),
            drop_speedup(reported.tables / "equal_speed.csv", main),
            *(throughput_batch(timed(main)), speedup_gmac(timed(main)), floor_overhead(timed(main))),
            *(getattr(plots_semantics, name)(inputs.semantics) for name in ("composition", "uniform", "boundary")),
            *(plots_semantics.correlation(inputs.semantics), training(inputs.training)),
        ]
        for figure, _ in drawn:
            figure.draw_without_rendering()
            box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
            assert -0.01 <= box.x0 <= box.x1 <= width + 0.01
            assert -0.01 <= box.y0 <= box.y1 <= height + 0.01
            assert all(text.get_fontsize() >= SMALLEST for text in figure.findobj(Text) if text.get_text())


def frame(*backbones):
    return pd.DataFrame({"backbone": backbones})


def test_panels_stand_below_each_other_where_the_paper_is_narrow():
    with style(PAPER[0]):
        _, parts = panels(frame("one", "two"), columns=3)
        assert [len(row) for _, row in parts] == [3, 3]
        assert len({panel.get_subplotspec().colspan.start for _, row in parts for panel in row}) == 1
        assert sized(10) < 10
    with style(PAPER[1]):
        figure, [(_, row)] = panels(frame("one"), columns=3)
        assert len(figure.axes) == 3
        assert row[2].get_subplotspec().rowspan.start == 1
    assert sized(10) == 10


def test_legend_takes_as_many_columns_as_fit_and_room_of_its_own():
    with style(PAPER[0]):
        figure, [(_, [panel])] = panels(frame("one"))
        for number in range(6):
            panel.plot([0, 1], [0, number], label=f"a rather long name, number {number}")
        before = figure.get_figheight()
        legend_below(figure, columns=4)
        [legend] = figure.legends
        box = legend.get_window_extent()
        assert box.width <= figure.bbox.width
        assert figure.get_figheight() == pytest.approx(before + box.height / figure.dpi)
