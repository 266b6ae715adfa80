"""What reports on measurements needs nothing that measures."""

import subprocess
import sys

import pytest
from tiers import named

HEAVY = ("torch", "torchvision", "timm")
DRAWING = ("matplotlib", "seaborn", "altair", "vl_convert")
STAGES = {
    "tables.write": (*HEAVY, *DRAWING),
    "tables.speed": (*HEAVY, *DRAWING),
    "tables.ablation": (*HEAVY, *DRAWING),
    "tables.paper": (*HEAVY, *DRAWING),
    "verify": (*HEAVY, *DRAWING),
    "figures.samples": (*HEAVY, "altair", "vl_convert"),
    "figures.write": (*HEAVY, "altair", "vl_convert"),
    "page.page": (*HEAVY, "seaborn"),
}


@pytest.mark.parametrize("stage", named(STAGES, "tables.write", "page.page"))
def test_stages_import_no_more_than_they_use(stage):
    code = f"import sys, paumer.reporting.{stage}; print(*sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(STAGES[stage]) & set(finished.stdout.split())
