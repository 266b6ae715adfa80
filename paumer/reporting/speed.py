"""Sheets of the report's speed section: dense against itself, and where the GMAC go."""

from pathlib import Path

from paumer.reporting.aggregate import FLOPS
from paumer.reporting.formatting import Sheet, number, significant, with_interval
from paumer.reporting.noise import quiet
from paumer.reporting.reading import INPUT, read_table
from paumer.reporting.timings import LACKING, SETTING, null_rows, pixels, read_throughput, timed_group

PARTS = ["gmac_encoder", "gmac_decoder", "gmac_heads"]


def null_sheet(throughput: Path) -> Sheet:
    """Dense timed against itself in each group of variants: how far from 1 a speed-up of nothing comes out.

    Raises:
        PaumerError: throughput.csv is unusable.
    """
    nulls = null_rows(read_throughput(throughput))
    verdicts = nulls["speedup"].notna().map({True: "too noisy", False: ""}).mask(quiet(nulls), "quiet")
    rows = [
        [
            row["backbone"],
            timed_group(row),
            *(row[name] for name in ("dtype", "mode", "scope")),
            pixels(row),
            str(row["batch"]),
            LACKING.get(row["status"]) or with_interval(row["speedup"], row["speedup_low"], row["speedup_high"], 3),
            row["verdict"],
            number(row["other_load"], 2),
        ]
        for row in nulls.assign(verdict=verdicts).to_dict("records")
    ]
    headings = ["backbone", "timed together", "type", "mode", "scope", "input (pixels)", "batch"]
    return Sheet([*headings, "speed-up of dense over dense [95%]", "remark", "other load (processors)"], rows)


def gmac_sheet(flops: Path) -> Sheet:
    """GMAC of every strategy and schedule, by part of the network.

    Raises:
        PaumerError: flops.csv is unusable.
    """
    table = read_table(flops, [*FLOPS, *INPUT, *PARTS])
    rows = [
        [
            *(row[name] for name in ("backbone", "decoder", "strategy", "schedule")),
            pixels(row),
            *(significant(row[name]) for name in ("gmac_total", *PARTS)),
        ]
        for row in table.to_dict("records")
    ]
    headings = ["backbone", "decoder", "strategy", "schedule", "input (pixels)"]
    return Sheet([*headings, "GMAC", "in the encoder", "in the decoder", "in the heads"], rows)


def settings_timed(throughput: Path) -> list[str]:
    """Device, number type, mode and scope of the timings; the first are those of the main table.

    Raises:
        PaumerError: throughput.csv is unusable.
    """
    settings = read_throughput(throughput)[SETTING].drop_duplicates()
    return [", ".join(filter(None, row)) for row in settings.itertuples(index=False)]
