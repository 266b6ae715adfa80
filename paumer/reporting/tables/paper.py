"""The paper's tables: experiments on its datasets side by side, beside the claims of its abstract.

Only the abstract was available to us; the table of assumptions names everything that had to be chosen without it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel

from paumer.config.base import parse, read_yaml
from paumer.config.experiment import Experiment
from paumer.reporting.frames import CHANCE, is_dense, operating_points, read_main
from paumer.reporting.sheets import (
    DECIMALS,
    LARGEST_BATCH,
    NOT_TIMED,
    SPREAD,
    Cell,
    Sheet,
    csv,
    few_seeds,
    markdown,
    number,
    rounded,
    sheet_of,
    with_spread,
)
from paumer.reporting.tables.comparisons import read_published
from paumer.reporting.tables.methods import NOT_STATED, Claim, answer_cells, methods_table, read_claims
from paumer.system.errors import PaumerError
from paumer.system.files import write_text

NETWORK = ["dataset", "backbone", "architecture", "decoder"]
SHOWN_NETWORK = ["dataset", "backbone", "decoder"]
SECTIONS = ["decoder", "heads", "training", "evaluation", "throughput"]
AS_SEGMENTER, NOT_AS_SEGMENTER, OURS = "as Segmenter", "ours, not as Segmenter", "ours"
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
    claims = {
        row["dataset"]: Claim(row["dataset"], row["drop"], row["speedup"])
        for row in read_claims(published).to_dict("records")
    }
    measured = []
    for experiment, path in zip(experiments, tables, strict=True):
        main, dataset = read_main(path), experiment.data.dataset
        if dataset not in claims:
            known = ", ".join(claims)
            raise PaumerError(f"{published}: no claim of PAUMER on {dataset}; compare experiments on {known}")
        measured.append(Measured(experiment, main, claims[dataset]))
    methods = pd.concat([answers_table(one) for one in measured], ignore_index=True)
    criteria = {method: criterion for one in measured for method, criterion in _informed_pausing(one.main)}
    pausing = methods[methods["method"].isin(criteria)]
    dense = dense_table(measured, published)
    assumptions = pd.concat(
        [assumptions_table(one, segmenter).assign(dataset=one.data.dataset) for one in experiments], ignore_index=True
    )
    shown = [one.claim for one in measured]
    sheets = [
        _claims_sheet(pausing, criteria, shown),
        _dense_sheet(dense),
        _methods_sheet(methods, shown),
        _assumptions_sheet(assumptions),
    ]
    files = {
        "paper.md": markdown(*sheets),
        "claims.csv": csv(pausing),
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


def _informed_pausing(main: pd.DataFrame) -> list[tuple[str, str]]:
    """Method and criterion of recipe paumer's pausing, but for the control by chance."""
    rows = main[(main["recipe"] == "paumer") & (main["strategy"] == "pause") & (main["criterion"] != CHANCE)]
    return list(rows[["method", "criterion"]].drop_duplicates().itertuples(index=False, name=None))


def _claims_sheet(pausing: pd.DataFrame, criteria: Mapping[str, str], claims: Sequence[Claim]) -> Sheet:
    """PAUMER on every network beside the claim of its dataset, which comes first."""
    headings = [*SHOWN_NETWORK, "criterion", "seeds"]
    for question in ("smallest drop at the claimed speed-up", "fastest within the claimed drop"):
        headings += [f"{question}: schedule", "its speed-up [95%]", "its drop (points)"]
    rows = []
    for claim in claims:
        stated = [NOT_STATED, number(claim.speedup, 2), number(claim.drop, 2)]
        rows.append([claim.dataset, "published claim", *[""] * 3, *stated, *stated, ""])
        for row in pausing[pausing["dataset"] == claim.dataset].to_dict("records"):
            cells = [cell for question in ("most_accurate", "fastest") for cell in answer_cells(row, question)]
            names = [row[name] for name in SHOWN_NETWORK]
            rows.append([*names, criteria[row["method"]], str(row["seeds"]), *cells, row["reached"]])
    notes = [CLAIM_NOTE, SPREAD, LARGEST_BATCH, *few_seeds(pausing)]
    return Sheet([*headings, "claim reached"], rows, notes, title="PAUMER beside its published claims")


def _methods_sheet(methods: pd.DataFrame, claims: Sequence[Claim]) -> Sheet:
    """Every method on every network, the datasets side by side."""
    names = ["architecture", "decoder", "method"]
    headings = list(names)
    for claim in claims:
        headings += [f"{claim.dataset}: drop at >= {claim.speedup:g}x"]
        headings += [f"{claim.dataset}: speed-up at drop <= {claim.drop:g}"]
    rows = []
    for (*named,), group in methods.groupby(names, sort=False):
        by_dataset = {row["dataset"]: row for row in group.to_dict("records")}
        cells = [
            _compact(by_dataset.get(claim.dataset), question)
            for claim in claims
            for question in ("most_accurate", "fastest")
        ]
        rows.append([*map(str, named), *cells])
    notes = ["Each cell: schedule, speed-up, drop in points.", SPREAD, LARGEST_BATCH, *few_seeds(methods)]
    return Sheet(headings, rows, notes, title="All methods side by side")


def _compact(row: dict | None, question: str) -> str:
    if row is None:
        return "not run"
    schedule, _, drop = answer_cells(row, question)
    speedup = row[f"{question}_speedup"]
    return schedule if pd.isna(speedup) else f"{schedule}: {number(speedup, 2)}x, {drop}"


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
    columns: dict[str, str | Cell] = {
        **{name: name for name in (*SHOWN_NETWORK, "seeds")},
        "mIoU (points)": lambda row: with_spread(row["miou"], row["miou_spread"]),
        "source": lambda row: row["source"] or "none published",
        "setting": "setting",
        "its crop": rounded("crop", 0),
        "its mIoU": rounded("published", 2),
        "difference (points)": rounded("difference", 2),
    }
    return sheet_of(dense, columns, title="Networks without pausing beside published figures")


def assumptions_table(experiment: Experiment, segmenter: Path) -> pd.DataFrame:
    """What an experiment chose without the paper: all values that decide on accuracy or speed.

    Args:
        experiment: the experiment, on a dataset that `segmenter` has or not.
        segmenter: how the authors of Segmenter trained on each dataset, in the keys of an experiment.

    Returns:
        Columns key, value, segmenter (empty where they did not choose) and choice: whose it is.

    Raises:
        PaumerError: the file of published settings is unusable.
    """
    theirs = _published(segmenter, experiment.data.dataset)
    chosen = _chosen(experiment)
    chosen |= {key: None for key in theirs if key not in chosen}  # of a phase that the experiment leaves out
    rows = [
        {"key": key, "value": _text(value), "segmenter": _text(theirs[key]) if key in theirs else ""}
        | {"choice": OURS if key not in theirs else AS_SEGMENTER if value == theirs[key] else NOT_AS_SEGMENTER}
        for key, value in chosen.items()
    ]
    return pd.DataFrame(rows)


def _chosen(experiment: Experiment) -> dict[str, Any]:
    """The values of all keys that decide on accuracy or speed."""
    chosen = {key: value for name in SECTIONS for key, value in _flat({name: getattr(experiment, name)}).items()}
    for backbone in experiment.backbones:
        for name in ("normalization", "decoder", "heads"):
            value = getattr(backbone, name)
            if value is not None:
                chosen |= _flat({f"backbones.{backbone.name}.{name}": value})
    return chosen


def _published(segmenter: Path, dataset: str) -> dict[str, Any]:
    """The choices of Segmenter's authors for a dataset; none for one that they did not use."""
    content, _ = read_yaml(str(segmenter))
    settings = content.get(dataset) or {}
    if not isinstance(settings, dict):
        raise PaumerError(f"{segmenter}: {dataset} must hold keys of an experiment")
    checked = parse(Experiment, {"backbones": [{"name": "any"}], **settings}, f"{segmenter}, {dataset}")
    return _flat({name: checked.model_dump(mode="json", exclude_unset=True)[name] for name in settings})


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        inner = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        if isinstance(inner, dict) and inner:
            flat |= {f"{key}.{name}": one for name, one in _flat(inner).items()}
        else:
            flat[key] = inner
    return flat


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return "none" if value in (None, {}) else f"{value:g}" if isinstance(value, float) else str(value).lower()


def _assumptions_sheet(assumptions: pd.DataFrame) -> Sheet:
    """Every assumption by dataset, and whose choice it is."""
    datasets = list(assumptions["dataset"].unique())
    headings = ["key", *(f"{dataset}: {part}" for dataset in datasets for part in ("value", "whose choice"))]
    rows = []
    for key, group in assumptions.groupby("key", sort=False):
        by_dataset = {row["dataset"]: row for row in group.to_dict("records")}
        cells = [str(key)]
        for dataset in datasets:
            row = by_dataset.get(dataset, {"value": "", "choice": ""})
            theirs = f" ({row['segmenter']})" if row["choice"] == NOT_AS_SEGMENTER else ""
            cells += [row["value"], row["choice"] + theirs]
        rows.append(cells)
    opening = (
        f"Only the abstract of PAUMER was available to us: none of these is known to be the paper's. `{AS_SEGMENTER}` "
        f"is what the authors of Segmenter published; `{OURS}` and `{NOT_AS_SEGMENTER}` are assumptions."
    )
    return Sheet(headings, rows, title="What had to be chosen", opening=opening)
