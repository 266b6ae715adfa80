"""The paper's tables as sheets of rounded text."""

from collections.abc import Sequence

import pandas as pd

from paumer.reporting.choices import AS_SEGMENTER, NOT_AS_SEGMENTER, OURS
from paumer.reporting.claims import Claim
from paumer.reporting.formatting import Sheet, number, with_interval, with_seeds, with_spread
from paumer.reporting.readable import FEW_SEEDS, LARGEST_BATCH, SPREAD

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
