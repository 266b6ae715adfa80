"""What reports on measurements needs nothing that measures."""

import subprocess
import sys

import pytest
from tiers import named

HEAVY = ("torch", "torchvision", "timm")
DRAWING = ("matplotlib", "seaborn", "altair", "vl_convert")
STAGES = {
    "tables": (*HEAVY, *DRAWING),
    "speed_table": (*HEAVY, *DRAWING),
    "ablation": (*HEAVY, *DRAWING),
    "paper": (*HEAVY, *DRAWING),
    "verification": (*HEAVY, *DRAWING),
    "samples": (*HEAVY, *DRAWING),
    "figures": (*HEAVY, "altair", "vl_convert"),
    "page": (*HEAVY, "seaborn"),
}


@pytest.mark.parametrize("stage", named(STAGES, "tables", "page"))
def test_stages_import_no_more_than_they_use(stage):
    code = f"import sys, paumer.reporting.{stage}; print(*sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(STAGES[stage]) & set(finished.stdout.split())
