"""The paper's tables: experiments on its datasets side by side, beside the claims of its abstract.

Only the abstract was available to us; the table of assumptions names everything that had to be chosen without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from paumer.config.experiment import Experiment
from paumer.reporting.frames import CHANCE, is_dense, operating_points, read_main
from paumer.reporting.sheets import (
    DECIMALS,
    LARGEST_BATCH,
    NOT_TIMED,
    Columns,
    Row,
    Sheet,
    beside,
    crossed,
    drop_cell,
    few_seeds,
    miou_cell,
    named,
    number,
    rounded,
    sheet_of,
    spread_note,
)
from paumer.reporting.tables.choices import assumptions_sheet, assumptions_table
from paumer.reporting.tables.methods import Claim, answers, methods_table, read_claims, stated
from paumer.reporting.tables.published import read_published
from paumer.reporting.writing import csv, markdown
from paumer.system.errors import PaumerError
from paumer.system.files import write_text

NETWORK = ["dataset", "backbone", "architecture", "decoder"]
SHOWN_NETWORK = ["dataset", "backbone", "decoder"]
CLAIM_NOTE = (
    "The claim is that of PAUMER's abstract (arXiv 2311.00586): about 50% more images/s for that change of mIoU. It "
    "says neither the network nor the device, nor whether points or percent are meant; points are taken here."
)


@dataclass(frozen=True)
class Measured:
    """An experiment, its main table, and the abstract's claim on its dataset."""

    experiment: Experiment
    main: pd.DataFrame
    claim: Claim

    def named(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table of backbones with the columns of `NETWORK` in front."""
        experiment, backbones = self.experiment, [self.experiment.backbone(name) for name in table["backbone"]]
        named = table.drop(columns="backbone").assign(
            dataset=experiment.data.dataset,
            backbone=[backbone.name for backbone in backbones],
            architecture=[backbone.architecture.split(".")[0] for backbone in backbones],
            decoder=[experiment.decoder_of(backbone).name for backbone in backbones],
        )
        return named[[*NETWORK, *(name for name in table.columns if name not in NETWORK)]]


def write_paper(
    experiments: Sequence[Experiment], tables: Sequence[Path], published: Path, segmenter: Path, output: Path
) -> None:
    """Write paper.md with all tables, and claims, dense, methods and choices.csv.

    Args:
        experiments: one for each of the paper's datasets.
        tables: their main tables, in the same order.
        published: published figures; PAUMER's claims are taken from it.
        segmenter: how the authors of Segmenter trained.
        output: folder for the tables.

    Raises:
        PaumerError: a file is unusable, or the abstract claims nothing on a dataset.
    """
    claims = {claim.dataset: claim for claim in read_claims(published)}
    measured = []
    for experiment, path in zip(experiments, tables, strict=True):
        main, dataset = read_main(path), experiment.data.dataset
        if dataset not in claims:
            known = ", ".join(claims)
            raise PaumerError(f"{published}: no claim of PAUMER on {dataset}; compare experiments on {known}")
        measured.append(Measured(experiment, main, claims[dataset]))
    methods = pd.concat([answers_table(one) for one in measured], ignore_index=True)
    pausing = pd.concat([_informed_pausing(one, methods) for one in measured], ignore_index=True)
    dense = dense_table(measured, published)
    chosen = [assumptions_table(one, segmenter).assign(dataset=one.data.dataset) for one in experiments]
    assumptions = pd.concat(chosen, ignore_index=True)
    shown = [one.claim for one in measured]
    sheets = [
        _claims_sheet(pausing, shown),
        _dense_sheet(dense),
        _methods_sheet(methods, shown),
        assumptions_sheet(assumptions),
    ]
    files = {
        "paper.md": markdown(*sheets),
        "claims.csv": csv(pausing.drop(columns="criterion")),
        "dense.csv": csv(dense),
        "methods.csv": csv(methods),
        "choices.csv": csv(assumptions),
    }
    for name, text in files.items():
        write_text(output / name, text)


def answers_table(measured: Measured) -> pd.DataFrame:
    """The two questions of the dataset's own claim, put to each method.

    Returns:
        Columns of `NETWORK`, those of `methods_table`, and `reached`: whether at the claimed speed-up or above a point
        drops no more than claimed.
    """
    claim = measured.claim
    table = measured.named(methods_table(measured.main, claim))
    reached = (table["most_accurate_drop"] <= claim.drop).map({True: "yes", False: "no"})
    return table.assign(reached=reached.where(table["most_accurate_schedule"] != NOT_TIMED, NOT_TIMED))


def _informed_pausing(measured: Measured, methods: pd.DataFrame) -> pd.DataFrame:
    """The answers of recipe paumer's pausing but for the control by chance, with a column `criterion`."""
    main = measured.main
    rows = main[(main["recipe"] == "paumer") & (main["strategy"] == "pause") & (main["criterion"] != CHANCE)]
    own = methods[methods["dataset"] == measured.claim.dataset]
    return own.merge(rows[["method", "criterion"]].drop_duplicates(), on="method")


def _claims_sheet(pausing: pd.DataFrame, claims: Sequence[Claim]) -> Sheet:
    """PAUMER on every network beside the claim of its dataset, which comes first."""
    parts = []
    for claim in claims:
        published = {"dataset": claim.dataset, "backbone": "published claim", **stated(claim, claim)}
        parts += [pd.DataFrame([published]), pausing[pausing["dataset"] == claim.dataset]]
    texts = [*SHOWN_NETWORK, "criterion", "reached"]
    rows = pd.concat(parts).fillna(dict.fromkeys(texts, ""))
    asked = {"most_accurate": "smallest drop at the claimed speed-up", "fastest": "fastest within the claimed drop"}
    names: Columns = {**named(*SHOWN_NETWORK, "criterion"), "seeds": rounded("seeds", 0)}
    notes = [CLAIM_NOTE, spread_note(pausing), LARGEST_BATCH, *few_seeds(pausing)]
    first = sheet_of(rows, names, notes, title="PAUMER beside its published claims")
    return beside(first, *answers(rows, asked), sheet_of(rows, {"claim reached": "reached"}))


def _methods_sheet(methods: pd.DataFrame, claims: Sequence[Claim]) -> Sheet:
    """Every method on every network, the datasets side by side."""
    names = ["architecture", "decoder", "method"]
    rows = methods[names].drop_duplicates()
    for claim in claims:
        own = methods[methods["dataset"] == claim.dataset]
        asked = {
            "most_accurate": f"{claim.dataset}: drop at >= {claim.speedup:g}x",
            "fastest": f"{claim.dataset}: speed-up at drop <= {claim.drop:g}",
        }
        for question, heading in asked.items():
            rows = crossed(rows, own.assign(heading=heading), names, "heading", partial(_compact, question))
    notes = ["Each cell: schedule, speed-up, drop in points.", spread_note(methods), LARGEST_BATCH, *few_seeds(methods)]
    return sheet_of(rows.replace("", "not run"), named(*rows.columns), notes, title="All methods side by side")


def _compact(question: str, row: Row) -> str:
    schedule, speedup = row[f"{question}_schedule"], row[f"{question}_speedup"]
    return schedule if pd.isna(speedup) else f"{schedule}: {number(speedup, 2)}x, {drop_cell(row, f'{question}_')}"


def dense_table(measured: Sequence[Measured], published: Path) -> pd.DataFrame:
    """The networks without any method, beside published figures of the same dataset, architecture and decoder.

    Returns:
        Columns of `NETWORK`, seeds, miou, miou_spread, and of every published figure source, published and difference;
        one row per published figure, or one where there is none.
    """
    ours = pd.concat([one.named(operating_points(one.main[is_dense(one.main)])) for one in measured])
    theirs = read_published(published)
    theirs = theirs[(theirs["method"] == "dense") & theirs["miou"].notna()].rename(
        columns={"backbone": "architecture", "miou": "published"}
    )
    keys = ["dataset", "architecture", "decoder"]
    table = ours[[*NETWORK, "seeds", "miou", "miou_spread"]].merge(
        theirs[[*keys, "source", "crop", "setting", "published"]], on=keys, how="left"
    )
    texts = {name: table[name].fillna("") for name in ("source", "setting")}
    return table.assign(difference=(table["miou"] - table["published"]).round(DECIMALS), **texts)


def _dense_sheet(dense: pd.DataFrame) -> Sheet:
    """The networks without any method beside published figures."""
    columns: Columns = {
        **named(*SHOWN_NETWORK, "seeds"),
        "mIoU (points)": miou_cell,
        "source": lambda row: row["source"] or "none published",
        "setting": "setting",
        "its crop": rounded("crop", 0),
        "its mIoU": rounded("published", 2),
        "difference (points)": rounded("difference", 2),
    }
    return sheet_of(dense, columns, title="Networks without pausing beside published figures")
