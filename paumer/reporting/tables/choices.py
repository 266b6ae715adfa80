"""The table of choices: what an experiment had to choose without the paper, and whose choice each value is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel

from paumer.config.base import parse, read_yaml
from paumer.config.experiment import Experiment
from paumer.reporting.sheets import Row, Sheet, crossed, named, sheet_of
from paumer.system.errors import PaumerError

SECTIONS = ["decoder", "heads", "training", "evaluation", "throughput"]
AS_SEGMENTER, NOT_AS_SEGMENTER, OURS = "as Segmenter", "ours, not as Segmenter", "ours"


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


def assumptions_sheet(assumptions: pd.DataFrame) -> Sheet:
    """Every assumption by dataset, and whose choice it is."""
    rows = assumptions[["key"]].drop_duplicates()
    for dataset, own in assumptions.groupby("dataset", sort=False):
        rows = crossed(rows, own.assign(heading=f"{dataset}: value"), "key", "heading", lambda row: row["value"])
        rows = crossed(rows, own.assign(heading=f"{dataset}: whose choice"), "key", "heading", _whose)
    opening = (
        f"Only the abstract of PAUMER was available to us: none of these is known to be the paper's. `{AS_SEGMENTER}` "
        f"is what the authors of Segmenter published; `{OURS}` and `{NOT_AS_SEGMENTER}` are assumptions."
    )
    return sheet_of(rows, named(*rows.columns), title="What had to be chosen", opening=opening)


def _whose(row: Row) -> str:
    return row["choice"] + (f" ({row['segmenter']})" if row["choice"] == NOT_AS_SEGMENTER else "")
