"""An experiment without recipes trains nothing: it plans only what measures and shows speed."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiers import first

REPOSITORY = Path(__file__).parents[2]
SMOKE = yaml.safe_load((REPOSITORY / "workflow/experiments/smoke.yaml").read_text(encoding="utf-8"))
WITH_SHARED_PHASE = {key: SMOKE["training"][key] for key in ("shared_phase", "options")}


def planned(folder: Path, experiment: dict[str, Any], *targets: str) -> set[str]:
    """The rules that would run."""
    (folder / "experiment.yaml").write_text(yaml.safe_dump(experiment), encoding="utf-8")
    command = ["snakemake", "--rulegraph", "mermaid-js", "--snakefile", str(REPOSITORY / "Snakefile"), *targets]
    command += ["--directory", str(folder), "--configfile", str(folder / "experiment.yaml")]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert finished.returncode == 0, finished.stderr
    return set(re.findall(r"id\d+\[(\w+)\]", finished.stdout))


@pytest.mark.parametrize(
    "training", first([{"recipes": []}, {**WITH_SHARED_PHASE, "recipes": []}]), ids=["plain", "shared"]
)
def test_no_recipe_plans_no_training(training: dict[str, Any], tmp_path: Path) -> None:
    expected = {"data", "flops", "throughput", "speed", "figures", "all"}
    assert planned(tmp_path, {**SMOKE, "training": training}) == expected


def test_recipes_plan_everything(tmp_path: Path) -> None:
    assert planned(tmp_path, SMOKE) == {
        *("data", "train", "evaluate", "semantics", "collect_accuracy", "bounds", "flops", "throughput"),
        *("tables", "speed", "colours", "samples", "maps", "figures", "report", "all"),
        *("candidates", "evaluate_select", "collect_select", "choose", "uncertainty"),
        *("robustness", "collect_robustness"),
    }
