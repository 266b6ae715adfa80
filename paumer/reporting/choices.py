"""Every choice behind a measurement, and whose it is: Segmenter's authors', or ours."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pydantic import BaseModel

from paumer.config import Experiment
from paumer.errors import PaumerError, summary

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
        PaumerError: the file of published settings is unusable, or has a key that no experiment has.
    """
    chosen = _chosen(experiment)
    theirs = _flat(_read(segmenter).get(experiment.data.dataset, {}))
    unknown = sorted(set(theirs) - set(chosen))
    if unknown:
        raise PaumerError(f"{segmenter}: {experiment.data.dataset}.{unknown[0]} is no key of an experiment; remove it")
    rows = [
        {"key": key, "value": _text(value), "segmenter": _text(theirs[key]) if key in theirs else ""}
        | {"choice": OURS if key not in theirs else AS_SEGMENTER if _same(value, theirs[key]) else NOT_AS_SEGMENTER}
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


def _read(segmenter: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(segmenter.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise PaumerError(f"{segmenter}: cannot be read ({summary(error)}); name Segmenter's settings") from None
    if not isinstance(content, dict):
        raise PaumerError(f"{segmenter}: must hold the settings by dataset")
    return content


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


def _same(ours: Any, theirs: Any) -> bool:
    return list(ours) == list(theirs) if isinstance(ours, (list, tuple)) else ours == theirs


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return "none" if value in (None, {}) else f"{value:g}" if isinstance(value, float) else str(value).lower()
