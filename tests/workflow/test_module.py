"""The workflow is found from the root, from its folder, by the catalog, and as a module of another workflow."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from tiers import first

REPOSITORY = Path(__file__).parents[2]
SMOKE = yaml.safe_load((REPOSITORY / "workflow/experiments/smoke.yaml").read_text(encoding="utf-8"))
TINY = {
    **SMOKE,
    "data": {
        "dataset": "scenes",
        "select_split": "select",
        "scenes": {"train_images": 2, "val_images": 2, "select_images": 2, "height": 32, "width": 64},
    },
}
USING = """\
configfile: "config/config.yaml"


module paumer:
    snakefile:
        "{snakefile}"
    config:
        config
    prefix:
        "segmentation"


use rule * from paumer as paumer_*


rule mine:
    default_target: True
    input:
        {wanted},
    output:
        "mine.txt",
    shell:
        "ls {{input}} > {{output}}"
"""


def snakemake(folder: Path, *options: str) -> str:
    """What Snakemake says."""
    finished = subprocess.run(["snakemake", *options], capture_output=True, text=True, cwd=folder)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "localrules" not in finished.stderr
    return finished.stdout + finished.stderr


def planned(said: str) -> set[str]:
    """The rules with jobs in a dry run."""
    table = re.search(r"^job +count\n[- ]+\n(.*?)\n\n", said, re.DOTALL | re.MULTILINE)
    assert table, said
    return {line.split()[0] for line in table[1].splitlines()} - {"total"}


def workflow_using(folder: Path, snakefile: str, wanted: str) -> Path:
    """Another workflow, with the file of an experiment where `snakedeploy` puts it."""
    (folder / "config").mkdir()
    (folder / "config/config.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    (folder / "Snakefile").write_text(USING.format(snakefile=snakefile, wanted=wanted), encoding="utf-8")
    return folder


def fetched(tmp_path: Path) -> str:
    """The workflow in a Git repository of its own: Snakemake reads it file by file, as it does from GitHub."""
    clone = tmp_path / "clone"
    for part in ("workflow", "envs", "results/reference/published.csv"):
        source, target = REPOSITORY / part, clone / part
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-C", str(clone)]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "test"]):
        subprocess.run([*git, *command], check=True)
    return f"git+file://{clone}/workflow/Snakefile@main"


@pytest.mark.parametrize("snakefile", first([[], ["--snakefile", "workflow/Snakefile"]]), ids=["root", "workflow"])
def test_no_target_plans_everything(snakefile: list[str], tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "config.yaml", tmp_path)
    rules = planned(snakemake(REPOSITORY, "-n", "--directory", str(tmp_path), *snakefile))
    assert rules >= {"all", "data", "train", "evaluate", "throughput", "tables", "figures", "report"}


@pytest.mark.parametrize("place", first(["folder", "fetched"]))
def test_another_workflow_plans_all_of_it(place: str, tmp_path: Path) -> None:
    snakefile = fetched(tmp_path) if place == "fetched" else str(REPOSITORY / "workflow/Snakefile")
    (tmp_path / "user").mkdir()
    rules = planned(snakemake(workflow_using(tmp_path / "user", snakefile, "rules.paumer_all.input"), "-n"))
    assert rules >= {"mine", "paumer_data", "paumer_train", "paumer_throughput", "paumer_tables", "paumer_report"}
    assert all(rule.startswith("paumer_") for rule in rules - {"mine"})


@pytest.mark.exhaustive
def test_another_workflow_runs_it(tmp_path: Path) -> None:
    wanted = "rules.paumer_data.output.manifest"
    folder = workflow_using(tmp_path, str(REPOSITORY / "workflow/Snakefile"), wanted)
    snakemake(folder, "--cores", "1")
    assert (folder / "mine.txt").read_text().strip() == "segmentation/results/smoke/data.json"
    manifest = json.loads((folder / "segmentation/results/smoke/data.json").read_text())
    assert manifest["dataset"] == "scenes"
    assert (folder / "segmentation/logs/smoke/data.log").exists()
    assert not (folder / "results").exists()


def test_catalog_finds_what_it_asks_for() -> None:
    usage = yaml.safe_load((REPOSITORY / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))["usage"]
    assert any(usage["software-stack-deployment"].values())
    assert set(usage) == {"mandatory-flags", "software-stack-deployment"}
    for path in ("workflow/Snakefile", "config/README.md", "README.md"):
        assert (REPOSITORY / path).is_file()
    # snakedeploy copies this folder, the default experiment in it.
    assert (REPOSITORY / "config/config.yaml").read_bytes() == (REPOSITORY / "config.yaml").read_bytes()
