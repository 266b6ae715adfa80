"""Write the tables of an experiment: headline, methods, all operating points, classes, criteria, bounds, published."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from paumer.reporting.frames import to_wide
from paumer.reporting.reading import read_text, refuse_mixed_data
from paumer.reporting.tables.attribution import attribution_sheet, attribution_table, reasons
from paumer.reporting.tables.bounds import bounds_sheet, bounds_table
from paumer.reporting.tables.calibration import calibration_sheet, calibration_table
from paumer.reporting.tables.classes import class_sheets, class_table
from paumer.reporting.tables.criteria import criteria_sheet, criteria_table
from paumer.reporting.tables.drops import drop_sheets, drops_table
from paumer.reporting.tables.equal_speed import equal_speed_sheets, equal_speed_table
from paumer.reporting.tables.headline import findings, headline_points, headline_sheet, paragraph
from paumer.reporting.tables.main import main_by_backbone, main_sheet, main_table
from paumer.reporting.tables.methods import methods_by_backbone, methods_sheet, methods_table, read_claims, with_claims
from paumer.reporting.tables.noise import noise_warnings
from paumer.reporting.tables.published import published_sheet, published_table
from paumer.reporting.tables.robustness import robustness_sheets, robustness_table
from paumer.reporting.tables.transfer import transfer_sheets, transfer_table
from paumer.reporting.timings import in_first_setting, read_throughput
from paumer.reporting.writing import files_of
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
    calibration: Sequence[Path] = (),
    intervals: Path | None = None,
    select: Path | None = None,
    chosen: Path | None = None,
    transferred: Path | None = None,
    robustness: Path | None = None,
) -> None:
    """Write headline, methods, main, classes, drops, criteria and bounds.{csv,md,tex}, published and attribution.*.

    Where methods are compared at equal speed also equal_speed.{csv,md,tex}, and with parameters of another experiment
    transfer.{csv,md,tex}.
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
        calibration: calibration.csv of every run that has one.
        intervals: 95% intervals of drops over seeds and images; without it drops have those over seeds alone.
        select: accuracy on the split that operating points are chosen on; without it they are chosen on the one that
            is reported.
        chosen: what was chosen for each speed-up where methods are compared at equal speed.
        transferred: the same of another experiment.
        robustness: accuracy on corrupted images.

    Raises:
        PaumerError: a file is unusable, a dense, GMAC or throughput row is missing, or two rest on different data.
    """
    refuse_mixed_data([manifest, *accuracy, flops, throughput, bounds, *attribution, *filter(None, [select])])
    warnings = noise_warnings(in_first_setting(read_throughput(throughput)))
    main = main_table(accuracy, flops, throughput, intervals, select)
    claims = read_claims(published)
    headline = headline_sheet(main, claims, warnings)
    shares = attribution_table(attribution)
    summary = replace(headline, opening=paragraph(findings(main, reasons(shares))))
    methods = with_claims(methods_table(main), claims)
    classes = class_table(accuracy, main)
    drops = drops_table(accuracy, headline_points(main), intervals)
    criteria = criteria_table(accuracy, main)
    limits = bounds_table(bounds, main)
    elsewhere = published_table(main, published, manifest, flops, throughput)
    files = {
        **files_of("main", to_wide(main), [main_sheet(main, warnings)], main_by_backbone(main, warnings)),
        **files_of("headline", pd.DataFrame(headline.rows, columns=headline.headings), [summary], [headline]),
        **files_of("methods", methods, [methods_sheet(methods, warnings)], methods_by_backbone(methods, warnings)),
        **files_of("classes", classes, class_sheets(classes), class_sheets(classes)),
        **files_of("drops", drops, drop_sheets(drops), drop_sheets(drops)),
        **files_of("criteria", criteria, [criteria_sheet(criteria)], [criteria_sheet(criteria)]),
        **files_of("bounds", limits, [bounds_sheet(limits)], [bounds_sheet(limits)]),
        **files_of("published", elsewhere, [published_sheet(elsewhere)]),
        **files_of("attribution", shares, [attribution_sheet(shares)]),
    }
    if chosen is not None:
        equal = equal_speed_table(main, chosen)
        files |= files_of("equal_speed", equal, equal_speed_sheets(equal), equal_speed_sheets(equal))
        if transferred is not None:
            moved = transfer_table(equal, equal_speed_table(main, transferred))
            files |= files_of("transfer", moved, transfer_sheets(moved), transfer_sheets(moved))
    if calibration:
        errors = calibration_table(calibration)
        files |= files_of("calibration", errors, [calibration_sheet(errors)], [calibration_sheet(errors)])
    if robustness is not None:
        corrupted = robustness_table(robustness)
        files |= files_of("robustness", corrupted, robustness_sheets(corrupted), robustness_sheets(corrupted))
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
