"""Every choice behind a measurement, and whose it is: Segmenter's authors', or ours."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel

from paumer.config import Experiment, parse
from paumer.errors import PaumerError
from paumer.files import read_yaml

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
