"""The paper's tables: experiments on its datasets side by side, and beside what its abstract claims.

Only the abstract was available to us; `choices` names everything that had to be chosen without the paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from paumer.config import Experiment
from paumer.errors import PaumerError
from paumer.files import write_text
from paumer.reporting.choices import choices_table
from paumer.reporting.claims import Claim, read_claims
from paumer.reporting.formatting import DECIMALS, csv, markdown
from paumer.reporting.order import CHANCE
from paumer.reporting.points import is_dense, read_main
from paumer.reporting.published import read_published
from paumer.reporting.readable_paper import readable_choices, readable_claims, readable_dense, readable_methods
from paumer.reporting.selection import methods_table

NETWORK = ["dataset", "backbone", "architecture", "decoder"]


@dataclass(frozen=True)
class Measured:
    """An experiment, its main table, and what the abstract claims on its dataset."""

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
    claims = {claim.dataset: claim for claim in _claims(published)}
    measured = [
        _measured(one, read_main(path), claims, published) for one, path in zip(experiments, tables, strict=True)
    ]
    methods = pd.concat([answers(one) for one in measured], ignore_index=True)
    dense = dense_table(measured, published)
    choices = pd.concat(
        [choices_table(one, segmenter).assign(dataset=one.data.dataset) for one in experiments], ignore_index=True
    )
    pausing = methods[methods["method"].str.startswith("paumer/pause/") & ~methods["method"].str.endswith(CHANCE)]
    shown = [one.claim for one in measured]
    sheets = [
        readable_claims(pausing, shown),
        readable_dense(dense),
        readable_methods(methods, shown),
        readable_choices(choices),
    ]
    files = {
        "paper.md": markdown(*sheets),
        "claims.csv": csv(pausing),
        "dense.csv": csv(dense),
        "methods.csv": csv(methods),
        "choices.csv": csv(choices),
    }
    for name, text in files.items():
        write_text(output / name, text)


def answers(measured: Measured) -> pd.DataFrame:
    """The two questions of the dataset's own claim, put to each method.

    Returns:
        Columns of `NETWORK`, those of `methods_table`, and `reached`: whether at the claimed speed-up or above a point
        drops no more than claimed.
    """
    claim = measured.claim
    table = measured.named(methods_table(measured.main, claim))
    reached = (table["most_accurate_drop"] <= claim.drop).map({True: "yes", False: "no"})
    return table.assign(reached=reached.where(table["most_accurate_schedule"] != "not timed", "not timed"))


def dense_table(measured: Sequence[Measured], published: Path) -> pd.DataFrame:
    """The networks without any method, beside published figures of the same dataset, architecture and decoder.

    Returns:
        Columns of `NETWORK`, seeds, miou, miou_spread, and of every published figure source, published and difference;
        one row per published figure, or one where there is none.
    """
    ours = pd.concat([one.named(one.main[is_dense(one.main)]) for one in measured])
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


def _claims(published: Path) -> list[Claim]:
    return [Claim(row["dataset"], row["drop"], row["speedup"]) for row in read_claims(published).to_dict("records")]


def _measured(experiment: Experiment, main: pd.DataFrame, claims: dict[str, Claim], published: Path) -> Measured:
    dataset = experiment.data.dataset
    if dataset not in claims:
        raise PaumerError(f"{published}: no claim of PAUMER on {dataset}; compare experiments on {', '.join(claims)}")
    return Measured(experiment, main, claims[dataset])
