"""The committed page of strategies is what the registry generates, and what it says holds."""

import re
from pathlib import Path

import pytest

from paumer.config.documents import strategies_text, write_schema
from paumer.strategies.criteria import CONTROLS, INFORMED
from paumer.strategies.declared import RECIPES
from paumer.strategies.registry import REGISTRY, build_strategy, operating_point
from paumer.strategies.token_exit import TokenExitParameters

PAGE = Path(__file__).parents[2] / "docs/strategies.md"


def test_committed_page_is_what_the_registry_generates() -> None:
    assert PAGE.read_text(encoding="utf-8") == strategies_text(), "run `paumer schema`"


def test_page_is_written_beside_the_table_of_keys(tmp_path: Path) -> None:
    write_schema(tmp_path / "schema.json", tmp_path / "docs" / "table.md")
    assert (tmp_path / "docs" / "strategies.md").read_text(encoding="utf-8") == strategies_text()


def test_everything_registered_is_described() -> None:
    first_cells = re.findall(r"^\| `([^`]+)`", strategies_text(), flags=re.MULTILINE)
    assert first_cells == [*REGISTRY, *REGISTRY, *RECIPES]
    assert re.findall(r"^- `(\w+)`:", strategies_text(), flags=re.MULTILINE) == [*INFORMED, *CONTROLS]


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in REGISTRY for text in REGISTRY[name].examples])
def test_only_merging_by_thresholds_runs_images_one_by_one(name: str, text: str) -> None:
    assert "only merging runs them one by one" in strategies_text()
    point = operating_point(name, "", text)
    assert build_strategy(point).per_image == ("merge" in name and point.varies)


def test_default_of_keep_is_the_real_one() -> None:
    assert f"; {TokenExitParameters.keep} where nothing is said" in strategies_text()


def test_lines_are_no_longer_than_ours() -> None:
    assert all(len(line) <= 120 for line in strategies_text().splitlines() if not line.startswith("|"))
