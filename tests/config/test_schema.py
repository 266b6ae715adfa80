"""The committed schema and key table are what the configuration generates, and every experiment file obeys them."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from paumer.config.base import parse
from paumer.config.documents import schema_text, table_text, write_schema
from paumer.config.experiment import Experiment
from paumer.system.errors import PaumerError

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "workflow/schemas/config.schema.json"
TABLE = ROOT / "docs/configuration.md"
EXPERIMENTS = [ROOT / "config.yaml", *sorted((ROOT / "workflow/experiments").glob("*.yaml"))]


@pytest.mark.parametrize(("path", "generate"), [(SCHEMA, schema_text), (TABLE, table_text)], ids=["schema", "table"])
def test_committed_file_is_what_the_configuration_generates(path: Path, generate: Any) -> None:
    assert path.read_text(encoding="utf-8") == generate(), "run `paumer schema`"


def test_both_files_are_written(tmp_path: Path) -> None:
    write_schema(tmp_path / "schema.json", tmp_path / "docs" / "table.md")
    assert (tmp_path / "schema.json").read_text(encoding="utf-8") == schema_text()
    assert (tmp_path / "docs" / "table.md").read_text(encoding="utf-8") == table_text()


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_experiment_file_obeys_pydantic_and_the_schema(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    jsonschema.validate(content, json.loads(schema_text()))
    experiment = parse(Experiment, content, path.name)
    jsonschema.validate(experiment.model_dump(mode="json"), json.loads(schema_text()))


def test_experiments_have_their_own_results() -> None:
    names = [yaml.safe_load(path.read_text(encoding="utf-8"))["experiment"] for path in EXPERIMENTS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"seed": 0}, "seed"),
        ({"seeds": []}, "seeds"),
        ({"data": {"dataset": "imagenet"}}, "data.dataset"),
        ({"throughput": {"rounds": 1}}, "throughput.rounds"),
        ({"training": {"options": {"bach": 8}}}, "training.options.bach"),
    ],
)
def test_a_mistake_is_refused_by_pydantic_and_the_schema(change: dict[str, Any], key: str) -> None:
    content = {"backbones": [{"name": "tiny"}], **change}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, json.loads(schema_text()))
    with pytest.raises(PaumerError, match=key):
        parse(Experiment, content, "test")


def test_every_key_is_documented() -> None:
    rows = [line.split("|") for line in table_text().splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert all(row[3].strip() for row in rows)
