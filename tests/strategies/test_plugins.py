"""Methods from outside: files and packages bring strategies, criteria and datasets, or are refused in a line."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from paumer.config.base import parse
from paumer.config.documents import strategies_text
from paumer.config.experiment import Experiment
from paumer.config.network import Data
from paumer.config.runs import CostSettings, EvaluateSettings, TrainSettings
from paumer.data.catalogue import find_dataset
from paumer.strategies import declared
from paumer.strategies.criteria import CRITERIA
from paumer.strategies.registry import REGISTRY, criteria_of, operating_point
from paumer.system import plugins
from paumer.system.errors import PaumerError
from paumer.system.machine import package_versions

EXAMPLE = Path(__file__).parents[2] / "examples/token_norm/src/paumer_token_norm.py"
pytestmark = pytest.mark.usefixtures("forgotten")

HEAD = """
from paumer.strategies.contract import Strategy
from paumer.strategies.criteria import criterion
from paumer.strategies.notation import read_schedule
"""
STRATEGY = '''
class Mine(Strategy):
    """Does nothing."""
    name = "mine"
    description = "does nothing"
    examples = ("3:0.4",)
    recipes = ("dense",)
    parse = staticmethod(read_schedule)
'''
CRITERION = '''
@criterion("one minus the square of the largest probability.")
def squared(logits):
    """One minus the square of the largest probability."""
    return 1 - logits.softmax(dim=-1).amax(dim=-1).square().mean(dim=-1)
'''
DATASET = """
from dataclasses import replace
from paumer.data import camvid
DATASET = replace(camvid.DATASET, name="streets")
"""
EVERYTHING = HEAD + STRATEGY + CRITERION + DATASET
CONTENT = {
    "plugins": ["my_method.py"],
    "data": {"dataset": "streets"},
    "backbones": [{"name": "net", "options": {"depth": 12}}],
    "sweep": [
        {"strategy": "mine", "schedules": ["3:0.4"]},
        {"strategy": "pause", "schedules": ["3:0.4"], "criteria": ["squared", "entropy"]},
    ],
}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write my_method.py into the working folder."""
    monkeypatch.chdir(tmp_path)

    def written(text: str, name: str = "my_method.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    return written


def test_a_file_brings_a_strategy_a_criterion_and_a_dataset(write) -> None:
    path = write(EVERYTHING)
    assert declared.load_plugin("my_method.py") == path == declared.load_plugin(path)
    assert str(operating_point("mine", "", "3:0.4")) == "mine 3:0.4"
    assert criteria_of("pause")[-1] == criteria_of("merge>pause")[-1] == "squared"
    assert find_dataset("streets", path).classes[0] == "sky"
    assert Data(dataset="streets").dataset == "streets"
    assert "| `mine` " in strategies_text() and "- `squared`: " in strategies_text()
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    assert plugins.states() == {"my_method.py": f"sha256 {checksum}"}
    assert package_versions()["my_method.py"] == f"sha256 {checksum}"


def test_an_experiment_names_files_beside_it_or_in_the_working_folder(write, monkeypatch, tmp_path) -> None:
    write(EVERYTHING, "study/my_method.py")
    experiment = parse(Experiment, CONTENT, "study/mine.yaml", [Path("study")])
    assert experiment.plugins == (str(tmp_path / "study/my_method.py"),)
    monkeypatch.chdir("study")
    assert parse(Experiment, CONTENT, "mine.yaml").plugins == experiment.plugins


def test_stages_that_use_a_plug_in_know_its_state(write) -> None:
    write(EVERYTHING)
    experiment = parse(Experiment, CONTENT, "mine.yaml")
    state = plugins.states()
    for settings in (EvaluateSettings.of(experiment, "net", "dense"), CostSettings.of(experiment, timed=False)):
        assert settings.model_dump(mode="json")["plugins"] == state
        assert type(settings).model_validate_json(settings.model_dump_json()) == settings
    assert "plugins" not in TrainSettings.of(experiment, "net", "dense", 0).model_dump()
    other = CostSettings.of(experiment, timed=False).model_dump() | {"plugins": {"my_method.py": "sha256 0"}}
    with pytest.raises(PaumerError, match=r"my_method.py: not the one that the workflow was planned with"):
        parse(CostSettings, other, "settings")
    with pytest.raises(PaumerError, match=r"other.py: not found here; install it where jobs run, or name its file in"):
        parse(CostSettings, other | {"plugins": {"other.py": "sha256 0"}}, "settings")


MALFORMED = {
    "x = (": "my_method.py, line 1: no valid Python ('(' was never closed); mend it",
    "\nraise KeyError('a b')": "my_method.py, line 2: KeyError: 'a b'; mend it",
    "import nowhere": "my_method.py, line 1: ModuleNotFoundError: No module named 'nowhere'; mend it",
    "x = 1": "my_method.py: declares no strategy, criterion or dataset; docs/extending.md shows one",
    HEAD + STRATEGY.replace('"mine"', '"pause"'): "the strategy name 'pause' is taken by paumer; choose another",
    HEAD + STRATEGY.replace('"mine"', '"Mine 2"'): "name is 'Mine 2'; it must be small letters and single hyphens",
    HEAD + STRATEGY.replace('("3:0.4",)', "()"): "strategy 'mine': examples is (); it must be a tuple of schedules",
    HEAD + STRATEGY.replace('"does nothing"', '""'): "description is ''; it must be a line that says what it does",
    HEAD + STRATEGY.replace('("dense",)', '("danse",)'): "recipes is ('danse',); it must be some of dense, multi-exit",
    HEAD + STRATEGY + '    criteria = ("none",)': "criteria is ('none',); it must be none, or some of entropy",
    HEAD + STRATEGY.replace("parse =", "read ="): "has no `parse`; say how its schedules are read",
    HEAD + STRATEGY.replace("(read_schedule)", "(str)"): "`parse` gives str; give paumer.strategies.notation.Param",
    HEAD + STRATEGY.replace("3:0.4", "3:0.40"): "example '3:0.40' is written as '3:0.4'; both must be the same",
    HEAD + STRATEGY.replace("3:0.4", "three"): "`parse` does not read its own example 'three' (schedule 'three'",
    HEAD + CRITERION.replace("squared", "entropy"): "line 6: the criterion name 'entropy' is taken; choose another",
    HEAD + CRITERION + "1 / 0": "line 10: ZeroDivisionError: division by zero; mend it",
    HEAD + CRITERION + "DATASET = 3": "dataset '': is no Dataset of this name",
}


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_files_are_refused_in_a_line_and_leave_nothing(write, text) -> None:
    write(text)
    before = [list(table) for table in declared.TABLES]
    for _ in range(2):
        with pytest.raises(PaumerError) as caught:
            parse(Experiment, CONTENT | {"plugins": ["my_method.py"]}, "mine.yaml")
        line = str(caught.value)
        assert line.startswith("mine.yaml: plugins: my_method.py") and "\n" not in line
        assert MALFORMED[text] in line
    assert [list(table) for table in declared.TABLES] == before


def test_files_that_are_missing_or_no_python_are_named(write, monkeypatch) -> None:
    write("x = 1", "notes.txt")
    with pytest.raises(PaumerError, match=r"^nowhere.py: no such file beside the experiment file or in the working"):
        declared.load_plugin("nowhere.py")
    with pytest.raises(PaumerError, match=r"^notes.txt: no Python file; its name must end in \.py"):
        declared.load_plugin("notes.txt")
    monkeypatch.setenv("PAUMER_PLUGINS", "nowhere.py")
    with pytest.raises(PaumerError, match=r"^PAUMER_PLUGINS: nowhere.py: no such file"):
        declared.load_all()


def test_two_files_cannot_bring_one_name(write) -> None:
    declared.load_plugin(write(HEAD + STRATEGY))
    with pytest.raises(PaumerError, match=r"^other.py: the strategy name 'mine' is taken by my_method.py"):
        declared.load_plugin(write(HEAD + STRATEGY, "other.py"))


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *points: str, text: str = EVERYTHING) -> None:
    """A package `my-methods` of one module, as pip installs it."""
    (folder / "my_methods.py").write_text(text, encoding="utf-8")
    described = folder / "my_methods-0.3.dist-info"
    described.mkdir(exist_ok=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: my-methods\nVersion: 0.3\n")
    (described / "entry_points.txt").write_text("\n".join(points) + "\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "my_methods", raising=False)


POINTS = (
    "[paumer.strategies]\nmine = my_methods:Mine",
    "[paumer.criteria]\nsquared = my_methods",
    "[paumer.datasets]\nstreets = my_methods:DATASET",
)


def test_a_package_brings_what_its_entry_points_name(tmp_path, monkeypatch) -> None:
    install(tmp_path, monkeypatch, *POINTS)
    declared.load_all()
    assert REGISTRY["mine"].description == "does nothing"
    assert "squared" in CRITERIA and criteria_of("pause")[-1] == "squared"
    assert find_dataset("streets", tmp_path).name == "streets"
    checksum = hashlib.sha256((tmp_path / "my_methods.py").read_bytes()).hexdigest()
    assert plugins.states() == {"my-methods": f"0.3 sha256 {checksum}"}


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ("[paumer.strategies]\nmine = my_methods:Yours", "my-methods: strategy 'mine' cannot be imported (Attribut"),
        (
            "[paumer.strategies]\nmine = nowhere:Mine",
            "package my-methods: strategy 'mine' cannot be imported (Modu",
        ),
        (
            "[paumer.strategies]\nyours = my_methods:Mine",
            "my-methods: entry point 'yours' is strategy 'mine'; give bo",
        ),
        ("[paumer.strategies]\nmine = my_methods:CAMVID", "package my-methods: strategy 'mine' cannot be imported"),
        ("[paumer.strategies]\nmine = my_methods:squared", "my-methods: strategy 'mine': is no subclass of paumer.str"),
        ("[paumer.criteria]\ncubed = my_methods", "my-methods: criterion 'cubed': is declared by no @criterion of"),
        ("[paumer.datasets]\nroads = my_methods:DATASET", "my-methods: dataset 'roads': is no Dataset of this name"),
    ],
)
def test_malformed_packages_are_refused_in_a_line(tmp_path, monkeypatch, point, message) -> None:
    install(tmp_path, monkeypatch, point)
    with pytest.raises(PaumerError) as caught:
        declared.load_all()
    assert message in str(caught.value)


def test_the_environment_reaches_the_command_line_and_planning_imports_no_torch(tmp_path) -> None:
    code = """
    import sys
    from paumer.config.measuring import SweepItem
    print(SweepItem(strategy="token-norm", schedules=["3:0.4"]).points()[0], "torch" in sys.modules)
    """
    environment = os.environ | {"PAUMER_PLUGINS": str(EXAMPLE)}
    command = [sys.executable, "-c", dedent(code)]
    finished = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert finished.stdout.split() == ["token-norm", "3:0.4", "False"]
