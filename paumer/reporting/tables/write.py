"""Write the tables of an experiment: headline, methods, all operating points, classes, criteria, bounds, published."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from paumer.reporting.frames import in_first_setting, read_text, read_throughput, refuse_mixed_data
from paumer.reporting.sheets import csv, markdown, tabular
from paumer.reporting.tables.comparisons import (
    bounds_table,
    criteria_table,
    published_table,
    readable_bounds,
    readable_criteria,
    readable_published,
)
from paumer.reporting.tables.drops import (
    attribution_table,
    class_table,
    drops_table,
    headline_choices,
    latex_classes,
    readable_attribution,
    readable_classes,
    readable_drops,
    reasons,
)
from paumer.reporting.tables.headline import findings, paragraph, readable_headline
from paumer.reporting.tables.main import latex_main, main_table, readable_main
from paumer.reporting.tables.methods import latex_methods, methods_table, read_claims, readable_methods, with_claims
from paumer.reporting.tables.speed import noise_warnings
from paumer.system.errors import PaumerError
from paumer.system.files import sha256, write_json, write_text


def write_tables(
    accuracy: Sequence[Path],
    flops: Path,
    throughput: Path,
    bounds: Path,
    published: Path,
    output: Path,
    *,
    manifest: Path,
    attribution: Sequence[Path] = (),
) -> None:
    """Write headline, methods, main, classes, drops, criteria and bounds.{csv,md,tex}, published and attribution.*.

    headline.csv holds the cells of headline.md, as text; methods.csv and main.csv hold numbers. All are built before
    any is written.

    Args:
        accuracy: accuracy.csv of every run.
        flops: GMAC of every strategy and schedule that costs the same for every image.
        throughput: timings; the first device, number type, mode and scope in it are shown, at the first input size.
        bounds: what the patch size and raw patches allow.
        published: published figures; PAUMER's claims are taken from it.
        output: folder for the tables.
        manifest: data.json, which names the dataset.
        attribution: attribution.csv of every run that has one.

    Raises:
        PaumerError: a file is unusable, a dense, GMAC or throughput row is missing, or two rest on different data.
    """
    refuse_mixed_data([manifest, *accuracy, flops, throughput, bounds, *attribution])
    warnings = noise_warnings(in_first_setting(read_throughput(throughput)))
    main = main_table(accuracy, flops, throughput)
    claims = read_claims(published)
    headline = readable_headline(main, claims, warnings)
    methods = with_claims(methods_table(main), claims)
    classes = class_table(accuracy, main)
    drops = drops_table(accuracy, headline_choices(main))
    limits = bounds_table(bounds, main)
    criteria = criteria_table(accuracy, main)
    elsewhere = published_table(main, published, manifest, flops, throughput)
    shares = attribution_table(attribution)
    files = {
        "main.csv": csv(main),
        "main.md": markdown(readable_main(main, warnings)),
        "main.tex": latex_main(main, warnings),
        "headline.csv": csv(pd.DataFrame(headline.rows, columns=headline.headings)),
        "headline.md": markdown(replace(headline, opening=paragraph(findings(main, reasons(shares))))),
        "headline.tex": tabular(headline),
        "methods.csv": csv(methods),
        "methods.md": markdown(readable_methods(methods, warnings)),
        "methods.tex": latex_methods(methods, warnings),
        "classes.csv": csv(classes),
        "classes.md": markdown(*readable_classes(classes)),
        "classes.tex": latex_classes(classes),
        "drops.csv": csv(drops),
        "drops.md": markdown(*readable_drops(drops)),
        "drops.tex": "\n".join(map(tabular, readable_drops(drops))),
        "criteria.csv": csv(criteria),
        "criteria.md": markdown(readable_criteria(criteria)),
        "criteria.tex": tabular(readable_criteria(criteria)),
        "bounds.csv": csv(limits),
        "bounds.md": markdown(readable_bounds(limits)),
        "bounds.tex": tabular(readable_bounds(limits)),
        "published.csv": csv(elsewhere),
        "published.md": markdown(readable_published(elsewhere)),
        "attribution.csv": csv(shares),
        "attribution.md": markdown(readable_attribution(shares)),
    }
    for name, text in files.items():
        write_text(output / name, text)


def collect(tables: Sequence[Path], output: Path) -> None:
    """Put the rows of several CSV files into one, unchanged; a column that a file lacks stays empty there.

    Beside it the checksums of the data behind them are written.

    Raises:
        PaumerError: no file is given, one is unusable, or two rest on different data.
    """
    if not tables:
        raise PaumerError("collect: no CSV files are given; name at least one")
    data = refuse_mixed_data(tables)
    write_text(output, pd.concat([read_text(path) for path in tables]).fillna("").to_csv(index=False))
    write_json(output.with_suffix(".json"), {"data": data, "sha256": sha256(output)})
