"""The profiles name rules and options that exist."""

import re
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
PROFILES = {path.parent.name: path for path in (REPOSITORY / "workflow/profiles").glob("*/config.yaml")}
# Options of plugins that need not be installed here.
PLUGINS = {"kubernetes": "snakemake_executor_plugin_kubernetes", "storage": "snakemake_storage_plugin_s3"}


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(PROFILES[name].read_text(encoding="utf-8"))
    return content


@cache
def printed(*options: str) -> str:
    return subprocess.run(["snakemake", *options], capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_options_exist(name: str) -> None:
    known = set(re.findall(r"--([a-z][a-z0-9-]+)", printed("--help")))
    unknown = set(read(name)) - known
    absent = tuple(prefix for prefix, module in PLUGINS.items() if find_spec(module) is None)
    assert not {key for key in unknown if not key.startswith(absent or ("-",))}


@pytest.mark.parametrize("name", ["slurm", "kubernetes"])
def test_rules_exist_and_heavy_ones_have_their_share(name: str) -> None:
    profile, rules = read(name), set(printed("--list-rules").split())
    assert set(profile["set-threads"]) <= rules
    text = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "workflow/rules").glob("*.smk"))
    heavy = {
        rule
        for rule, body in re.findall(r"^rule (\w+):(.*?)(?=^rule |\Z)", text, flags=re.M | re.S)
        if "_CORES" in body
    }
    assert set(profile["set-threads"]) == heavy
    assert set(profile["set-resources"]) == {"train", "evaluate", "semantics", "throughput"}
    for resources in profile["set-resources"].values():
        assert "attempt" in resources["mem_mb"]  # more where there was too little


def test_what_is_timed_has_the_node_to_itself() -> None:
    assert "--exclusive" in read("slurm")["set-resources"]["throughput"]["slurm_extra"]
