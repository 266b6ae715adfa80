"""Pages lead where they say, and what they show in Python runs."""

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from tiers import first

from paumer.config.base import parse
from paumer.config.experiment import Experiment
from paumer.data.catalogue import ClassList
from paumer.system.errors import PaumerError

REPOSITORY = Path(__file__).parents[1]
TOP = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "config/README.md")
PAGES = [
    *(REPOSITORY / name for name in TOP),
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted((REPOSITORY / "results/reference").rglob("README.md")),
]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(REPOSITORY)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert found.is_relative_to(REPOSITORY.resolve()), target
        assert not anchor or anchor in anchors(found), target


YAML = re.compile(r"^```ya?ml\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
FRAGMENTS = [(page, text) for page in PAGES for text in YAML.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize(("page", "text"), FRAGMENTS, ids=[page.name for page, _ in FRAGMENTS])
def test_yaml_is_what_it_shows(page: Path, text: str) -> None:
    """Part of an experiment, whose other keys are as by default, or a list of classes."""
    content = yaml.safe_load(text)
    if "classes" in content:
        parse(ClassList, content, page.name)
    else:
        parse(Experiment, {"backbones": [{"name": "net", "options": {"depth": 12}}]} | content, page.name, [REPOSITORY])


def test_pages_show_yaml_and_unknown_keys_in_it_are_refused() -> None:
    assert len(FRAGMENTS) > 5
    with pytest.raises(PaumerError, match=r"training\.options\.optimizer"):
        test_yaml_is_what_it_shows(Path("page.md"), "training: {options: {optimizer: sgd}}")


def test_keys_that_pages_name_exist() -> None:
    table = (REPOSITORY / "docs/configuration.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^\| `([^`]+)`", table, flags=re.MULTILINE))
    sections = "|".join({re.escape(key.split(".")[0]) for key in known})
    named = re.compile(rf"`((?:{sections})(?:\.[a-z_\[\]]+)+)`")
    found = {key for page in PAGES for key in named.findall(page.read_text(encoding="utf-8"))}
    assert len(found) > 20
    assert {key for key in found - known if not key.endswith((".csv", ".json"))} == set()


def test_readme_lists_every_page() -> None:
    listed = {Path(target).name for target in LINK.findall((REPOSITORY / "README.md").read_text(encoding="utf-8"))}
    assert {page.name for page in (REPOSITORY / "docs").glob("*.md")} <= listed


@pytest.mark.parametrize("page", first(["README.md", "docs/python.md"]))
def test_python_runs_as_shown(
    page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The first example of a page, as it stands there."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[0]
    assert "paumer.sweep" in example and "paumer.measure" in example
    quick = example.replace("rounds=5", "rounds=3, block_seconds=0.001").replace("scenes(16", "scenes(8")
    monkeypatch.chdir(tmp_path)
    with pd.option_context("display.width", 500, "display.max_columns", None):
        exec(quick, {})
    printed = capsys.readouterr().out
    for column in ("miou", "agreement", "gmac_ratio", "speedup_low", "dense-again"):
        assert column in printed
