"""The paper's tables: experiments on its datasets side by side, and beside what its abstract claims.

Only the abstract was available to us; `choices` names everything that had to be chosen without the paper.

The paper's tables as sheets of rounded text.

Every choice behind a measurement, and whose it is: Segmenter's authors', or ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel

from paumer.config import Experiment, parse
from paumer.config.base import read_yaml
from paumer.reporting.frames import CHANCE, is_dense, read_main
from paumer.reporting.sheets import DECIMALS, Sheet, csv, markdown, number, with_interval, with_seeds, with_spread
from paumer.reporting.tables.comparisons import read_published
from paumer.reporting.tables.main import FEW_SEEDS, LARGEST_BATCH, SPREAD
from paumer.reporting.tables.methods import Claim, methods_table, read_claims
from paumer.system.errors import PaumerError
from paumer.system.files import write_text

SECTIONS = ["decoder", "heads", "training", "evaluation", "throughput"]
AS_SEGMENTER, NOT_AS_SEGMENTER, OURS = "as Segmenter", "ours, not as Segmenter", "ours"


def choices_table(experiment: Experiment, segmenter: Path) -> pd.DataFrame:
    """What an experiment chose wherever the abstract of PAUMER says nothing, which is everywhere.

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
    """What the authors of Segmenter chose for a dataset; nothing for one that they did not use."""
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


CLAIM_NOTE = (
    "The claim is that of PAUMER's abstract (arXiv 2311.00586): about 50% more images/s for that change of mIoU. It "
    "says neither the network nor the device, nor whether points or percent are meant; points are taken here."
)
PARTS = ["dataset", "backbone", "decoder"]


def readable_claims(pausing: pd.DataFrame, claims: Sequence[Claim]) -> Sheet:
    """PAUMER on every network beside the claim of its dataset, which comes first."""
    headings = [
        *PARTS,
        "criterion",
        "seeds",
        "smallest drop at the claimed speed-up: schedule",
        "its speed-up [95%]",
        "its drop (points)",
        "fastest within the claimed drop: schedule",
        "its speed-up [95%]",
        "its drop (points)",
        "claim reached",
    ]
    rows = []
    for claim in claims:
        stated = ["not stated", number(claim.speedup, 2), number(claim.drop, 2)]
        rows.append([claim.dataset, "published claim", *[""] * 3, *stated, *stated, ""])
        for row in pausing[pausing["dataset"] == claim.dataset].to_dict("records"):
            criterion = row["method"].rpartition("/")[2]
            answers = [cell for group in ("most_accurate", "fastest") for cell in _answer(row, group)]
            rows.append([*(row[name] for name in PARTS), criterion, str(row["seeds"]), *answers, row["reached"]])
    notes = [CLAIM_NOTE, SPREAD, LARGEST_BATCH, *_few(pausing)]
    return Sheet(headings, rows, notes, title="PAUMER beside its published claims")


def readable_dense(dense: pd.DataFrame) -> Sheet:
    """The networks without any method beside published figures."""
    headings = [*PARTS, "seeds", "mIoU (points)", "source", "setting", "its crop", "its mIoU", "difference (points)"]
    rows = [
        [
            *(row[name] for name in PARTS),
            str(row["seeds"]),
            with_spread(row["miou"], row["miou_spread"]),
            row["source"] or "none published",
            row["setting"],
            number(row["crop"], 0),
            number(row["published"], 2),
            number(row["difference"], 2),
        ]
        for row in dense.to_dict("records")
    ]
    return Sheet(headings, rows, [], title="Networks without pausing beside published figures")


def readable_methods(methods: pd.DataFrame, claims: Sequence[Claim]) -> Sheet:
    """Every method on every network, the datasets side by side."""
    asked = [("most_accurate", "drop at >= {0.speedup:g}x"), ("fastest", "speed-up at drop <= {0.drop:g}")]
    headings = ["architecture", "decoder", "method"]
    headings += [f"{claim.dataset}: {text.format(claim)}" for claim in claims for _, text in asked]
    rows = []
    for (*named,), group in methods.groupby(headings[:3], sort=False):
        by_dataset = {row["dataset"]: row for row in group.to_dict("records")}
        cells = [
            _compact(by_dataset[claim.dataset], name) if claim.dataset in by_dataset else "not run"
            for claim in claims
            for name, _ in asked
        ]
        rows.append([*map(str, named), *cells])
    notes = ["Each cell: schedule, speed-up, drop in points.", SPREAD, LARGEST_BATCH, *_few(methods)]
    return Sheet(headings, rows, notes, title="All methods side by side")


def readable_choices(choices: pd.DataFrame) -> Sheet:
    """Every choice by dataset, and whose it is."""
    datasets = list(choices["dataset"].unique())
    headings = ["key", *(f"{dataset}: {part}" for dataset in datasets for part in ("value", "whose choice"))]
    rows = []
    for key, group in choices.groupby("key", sort=False):
        by_dataset = {row["dataset"]: row for row in group.to_dict("records")}
        cells = [_choice(by_dataset.get(dataset)) for dataset in datasets]
        rows.append([str(key), *(cell for pair in cells for cell in pair)])
    opening = (
        f"Only the abstract of PAUMER was available to us: none of these is known to be the paper's. `{AS_SEGMENTER}` "
        f"is what the authors of Segmenter published; `{OURS}` and `{NOT_AS_SEGMENTER}` are assumptions."
    )
    return Sheet(headings, rows, [], title="What had to be chosen", opening=opening)


def _answer(row: dict, group: str) -> list[str]:
    cells = {name: row[f"{group}_{name}"] for name in ("speedup", "speedup_low", "speedup_high", "drop", "drop_spread")}
    speedup = with_interval(cells["speedup"], cells["speedup_low"], cells["speedup_high"])
    return [row[f"{group}_schedule"], speedup, with_seeds(cells["drop"], cells["drop_spread"], row["seeds"])]


def _compact(row: dict, group: str) -> str:
    schedule, speedup, drop = _answer(row, group)
    return f"{schedule}: {speedup.split(' ')[0]}x, {drop}" if speedup else schedule


def _choice(row: dict | None) -> list[str]:
    if row is None:
        return ["", ""]
    return [row["value"], row["choice"] + (f" ({row['segmenter']})" if row["choice"] == NOT_AS_SEGMENTER else "")]


def _few(table: pd.DataFrame) -> list[str]:
    return [FEW_SEEDS] if (table["seeds"] < 3).any() else []


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
