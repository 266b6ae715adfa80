"""The verbs that make tables, figures and reports of what was measured. Imports no torch at module level."""

from pathlib import Path
from typing import Annotated

import typer

from paumer.cli_options import Folder, Manifest, Output, Settings, Threads, on_gpu, read_settings, use_threads
from paumer.system.errors import PaumerError


def collect(
    table: Annotated[list[Path], typer.Argument(help="CSV files with the same columns.")], output: Output
) -> None:
    """Put the rows of several CSV files into one."""
    from paumer.reporting.tables.write import collect

    collect(table, output)


def tables(
    accuracy: Annotated[Path, typer.Option(help="accuracy.csv of all runs.")],
    flops: Annotated[Path, typer.Option(help="flops.csv.")],
    throughput: Annotated[Path, typer.Option(help="throughput.csv.")],
    bounds: Annotated[Path, typer.Option(help="bounds.csv.")],
    published: Annotated[Path, typer.Option(help="Published figures.")],
    data: Manifest,
    output: Folder,
    attribution: Annotated[list[Path], typer.Option(help="attribution.csv of `paumer semantics`, once per run.")] = [],  # noqa: B006
) -> None:
    """Join accuracy, GMAC and images/s into the tables."""
    from paumer.reporting.tables.write import write_tables

    write_tables([accuracy], flops, throughput, bounds, published, output, manifest=data, attribution=attribution)


def ablation(
    accuracy: Annotated[Path, typer.Option(help="accuracy.csv of all recipes.")],
    variant: Annotated[list[Path], typer.Option(help="accuracy.csv of a run of an ablation; once for each.")],
    output: Folder,
) -> None:
    """Compare recipe paumer with its ablations."""
    from paumer.reporting.tables.ablation import write_ablation

    write_ablation(accuracy, variant, output)


def speed(
    flops: Annotated[Path, typer.Option(help="flops.csv.")],
    throughput: Annotated[Path, typer.Option(help="throughput.csv.")],
    output: Folder,
) -> None:
    """Put images/s in every setting beside GMAC; needs no accuracy."""
    from paumer.reporting.tables.speed import write_speed

    write_speed(flops, throughput, output)


def maps(
    settings: Settings,
    data: Manifest,
    run: Annotated[Path, typer.Option(help="Folder of a trained paumer run.")],
    output: Output,
    threads: Threads = None,
) -> None:
    """Draw what pauses where: image, entropy, paused patches, prediction, ground truth; to a .pdf for a paper."""
    from paumer.config.runs import MapsSettings

    chosen = on_gpu(read_settings(MapsSettings, settings))
    from paumer.reporting.figures.maps import draw_pause_maps

    use_threads(threads)
    draw_pause_maps(chosen, data, run, output)


def figures(
    table: Annotated[Path, typer.Option(help="tables/main.csv; without accuracy, tables/speed.csv.")],
    output: Folder,
    accuracy: Annotated[Path | None, typer.Option(help="accuracy.csv of all runs, if there are any.")] = None,
    log: Annotated[list[Path], typer.Option(help="train.csv, once per run.")] = [],  # noqa: B006
    semantics: Annotated[list[Path], typer.Option(help="Folder of `paumer semantics`, once per run.")] = [],  # noqa: B006
    paper: Annotated[bool, typer.Option("--paper", help="As pdf, for one and for two columns of a paper.")] = False,
) -> None:
    """Draw the plots of the report, or with --paper those of a paper."""
    from paumer.reporting.figures.write import write_figures, write_speed_figures

    if accuracy is None:
        write_speed_figures(table, output, paper=paper)
    else:
        write_figures(table, [accuracy], log, semantics, output, paper=paper)


def report(
    experiment: Annotated[str, typer.Option(help="Name of the experiment.")],
    tables: Annotated[Path, typer.Option(help="Folder of the tables.")],
    figures: Annotated[Path, typer.Option(help="Folder of the figures.")],
    flops: Annotated[Path, typer.Option(help="flops.csv.")],
    throughput: Annotated[Path, typer.Option(help="throughput.csv.")],
    machine: Annotated[Path, typer.Option(help="machine.json of the timings.")],
    data: Manifest,
    output: Output,
    run: Annotated[list[Path], typer.Option(help="run.json, once per run.")] = [],  # noqa: B006
    link: Annotated[list[Path], typer.Option(help="Further file to link, such as accuracy.csv.")] = [],  # noqa: B006
) -> None:
    """Write the report, one self-contained page."""
    from paumer.reporting.page.page import write_report

    write_report(experiment, tables, figures, flops, throughput, machine, run, data, output, link)


def paper(
    experiment: Annotated[list[Path], typer.Option(help="Experiment file; once for each of the paper's datasets.")],
    main: Annotated[list[Path], typer.Option(help="Its tables/main.csv, in the same order.")],
    published: Annotated[Path, typer.Option(help="Published figures.")],
    segmenter: Annotated[Path, typer.Option(help="Segmenter's published settings.")],
    output: Folder,
) -> None:
    """Put experiments on the paper's datasets side by side, beside its claims, and name what had to be chosen."""
    from paumer.config import Experiment
    from paumer.reporting.tables.paper import write_paper

    if len(experiment) != len(main):
        raise PaumerError(f"paper: {len(experiment)} experiments and {len(main)} main tables; name one table for each")
    write_paper([read_settings(Experiment, str(path)) for path in experiment], main, published, segmenter, output)


def provenance(file: Annotated[Path, typer.Argument(help="A file of results/EXPERIMENT.")]) -> None:
    """Print as JSON where a file comes from: settings, code, environment, data and seeds of all it rests on."""
    import json

    from paumer.reporting.verify import trace

    print(json.dumps(trace(file), indent=2))


def verify(
    folder: Annotated[Path, typer.Argument(help="results/EXPERIMENT.")],
    published: Annotated[Path, typer.Option(help="Published figures.")] = Path("results/reference/published.csv"),
) -> None:
    """Recompute the tables from the raw files; name what differs, and fail if anything does."""
    from paumer.reporting.verify import verify

    differences = verify(folder, published)
    print("\n".join(differences) or f"{folder}: every table follows from the raw files")
    if differences:
        raise PaumerError(
            f"{folder}: {len(differences)} differences, named above; run the stages again that wrote them"
        )
