"""The scripts under benchmarks/ run, each on something tiny; the times they print are nobody's matter here."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployment.finished_runs import CROP, OPTIONS, write_run

from paumer.config.network import Data
from paumer.data.preparation import prepare

BENCHMARKS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))
TINY = {
    "experiment": "tiny",
    "device": "cpu",
    "backbones": [
        {
            "name": "net",
            "architecture": "vit_tiny_patch16_224",
            "options": OPTIONS | {"depth": 4},
            "positions": "sincos",
        }
    ],
    "heads": {"blocks": [2, 3]},
    "training": {"options": {"crop": list(CROP), "batch": 2, "workers": 0}},
    "sweep": [{"strategy": "pause", "schedules": ["2:0.4"], "criteria": ["entropy", "random"]}],
    "figures": {"pause_schedule": "2:0.4"},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small experiment: its file, its data, and a run with random weights."""
    folder = tmp_path_factory.mktemp("tiny")
    write_run(folder)
    prepare(Data(scenes={"train_images": 4, "val_images": 3, "height": 32, "width": 64}), folder / "data.json", 1)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    return folder


def arguments(name: str, folder: Path) -> dict[str, Any]:
    """What a script is called with."""
    config = folder / "tiny.yaml"
    return {
        "optimized": {"networks": ["tiny"], "sizes": [32], "batches": [1], "dtypes": ["float32"], "rounds": 3},
        "planning": {"experiments": [config]},
        "sweep": {"results": folder, "backbone": "net", "recipe": "paumer", "config": config, "images": 2},
        "training": {"manifest": folder / "data.json", "config": config, "steps": 2},
    }[name]


PRINTED = {
    "optimized": r"tiny .* eager logits: .* of its floor, .*\ntiny .* optimized logits: .* of the ratio of GMAC; .*",
    "planning": r"tiny\.yaml: [\d.]+ s",
    "sweep": r"2 operating points, 2 images, equal confusion matrices\nsweep .* ratio [\d.]+",
    "training": r"dense: .*\nmulti-exit: .*\npaumer: .* of dense\nwaiting for data: .* of 2 steps",
}


@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda path: path.stem)
def test_it_runs(script: Path, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main: Callable[..., None] = runpy.run_path(str(script))["main"]
    main(**arguments(script.stem, tiny))
    assert re.search(PRINTED[script.stem], capsys.readouterr().out)
