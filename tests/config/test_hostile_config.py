"""Settings and descriptions (YAML, JSON) that mean harm, are damaged or of another version: one line for each."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from hostile import NO_PLAIN_FILES, files, no_plain_files, refusal
from tiers import first, named

from paumer.config.base import read_yaml
from paumer.data.manifest import samples, split_info
from paumer.deployment.network import load
from paumer.models.build import load_run
from paumer.models.published import load_segmenter
from paumer.reporting.verify import trace
from paumer.system.errors import HANDED_OVER, PaumerError
from paumer.system.files import read_json, write_text

REPOSITORY = Path(__file__).parents[2]


def laughs(form: str) -> str:
    """Nine levels of nine aliases, which stand for 400 million values."""
    lines = ["a0: &a0 [lol]"]
    for level in range(1, 10):
        names = [f"*a{level - 1}"] * 9
        inside = ", ".join(names if form == "lists" else [f"k{number}: {name}" for number, name in enumerate(names)])
        lines.append(f"a{level}: &a{level} {f'[{inside}]' if form == 'lists' else f'{{{inside}}}'}")
    return "\n".join(lines)


EVIL = "touch evil"
BAD_YAML: dict[str, tuple[str, str]] = {
    "a call": (f"results: !!python/object/apply:os.system ['{EVIL}']", "could not determine a constructor"),
    "a new object": (f"results: !!python/object/new:os.system ['{EVIL}']", "could not determine a constructor"),
    "a module": ("results: !!python/module:os", "could not determine a constructor"),
    "a name": ("results: !!python/name:os.system", "could not determine a constructor"),
    "a tuple": ("seeds: !!python/tuple [0]", "could not determine a constructor"),
    "a tag of one's own": ("results: !evil x", "could not determine a constructor"),
    "a bomb of lists": (laughs("lists"), "aliases make more than 100000 values of it"),
    "a bomb of mappings": (laughs("mappings"), "aliases make more than 100000 values of it"),
    "an alias inside itself": ("a: &a [*a]", "an alias stands inside what it names"),
    "a mapping inside itself": ("a: &a {b: *a}", "an alias stands inside what it names"),
    "an alias of nothing": ("a: *b", "undefined alias"),
    "a key twice": ("seeds: [0]\nseeds: [1]", "key 'seeds' stands there twice"),
    "a key twice below": ("data: {folder: a, folder: b}", "key 'folder' stands there twice"),
    "a list for a key": ("{[1, 2]: 3}: 4\n", "unhashable key"),
    "deep nesting": ("a: " + "[" * 5000, "nested too deeply"),
    "two documents": ("a: 1\n---\nb: 2", "expected a single document"),
    "a date that is none": ("a: 2024-13-45", "month must be in 1..12"),
    "a number of 5000 digits": ("a: " + "9" * 5000, "limit"),
    "a tag of a wrong value": ("a: !!int x", "invalid literal"),
    "a binary that is none": ("a: !!binary 'a'", "not valid YAML"),
    "a line that is cut": ("a: 'b", "found unexpected end of stream"),
    "control characters": ("a: \x07", "special characters are not allowed"),
    "a list": ("[a]", "must hold keys and values, not list"),
    "nothing": ("", "must hold keys and values, not NoneType"),
}


@pytest.mark.parametrize("name", BAD_YAML)
def test_bad_yaml_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    text, problem = BAD_YAML[name]
    (tmp_path / "a.yaml").write_text(text)
    line = refusal(read_yaml, "a.yaml")
    assert line.startswith("a.yaml: ")
    assert problem in line
    assert len(line) < 500
    assert files(tmp_path) == {"a.yaml"}


@pytest.mark.parametrize("name", named(BAD_YAML, "a call", "a bomb of lists", "nothing"))
def test_bad_yaml_is_refused_wherever_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command_line: CommandLine, name: str
) -> None:
    """As settings of a stage, as the class list of a dataset, as the description of a published network."""
    monkeypatch.chdir(tmp_path)
    for file in ("a.yaml", "classes.yaml", "variant.yml"):
        (tmp_path / file).write_text(BAD_YAML[name][0])
    before = files(tmp_path)
    arguments = ("--output", "data.json", "--threads", 1)
    assert command_line.refuse("data", "--settings", "a.yaml", *arguments).startswith("a.yaml: ")
    own = json.dumps({"dataset": "folder", "folder": str(tmp_path)})
    assert "classes.yaml: " in command_line.refuse("data", "--settings", own, *arguments)
    assert "variant.yml: " in refusal(load_segmenter, tmp_path)
    assert files(tmp_path) == before


def test_aliases_and_merged_keys_are_fine(tmp_path: Path) -> None:
    text = "base: &base {depth: 3, width: 4}\nother: {<<: *base, depth: 6}\nlist: [*base, *base]\n"
    (tmp_path / "a.yaml").write_text(text)
    content, _ = read_yaml(str(tmp_path / "a.yaml"))
    assert content["other"] == {"depth": 6, "width": 4}
    assert content["list"] == [content["base"]] * 2


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"a: \xff\xfe")
    assert "not valid YAML" in refusal(read_yaml, str(tmp_path / "a.yaml"))


@pytest.mark.parametrize("kind", NO_PLAIN_FILES)
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    for name, read in (("a.yaml", lambda path: read_yaml(str(path))), ("a.json", read_json)):
        put = no_plain_files(tmp_path / name)[kind]
        put()
        assert name in refusal(read, tmp_path / name)


PLANS = {
    "a key twice": ("experiment: a\nexperiment: b\n", "key 'experiment' stands there twice"),
    "a call": (f"experiment: !!python/object/apply:os.system ['{EVIL}']\n", "not valid"),
    "an unknown key": ("évil: 1\n", "unknown key 'évil'"),
}


@pytest.mark.parametrize("name", first(PLANS))
def test_planning_refuses_an_experiment(tmp_path: Path, name: str) -> None:
    text, problem = PLANS[name]
    experiment = tmp_path / "a ü.yaml"
    experiment.write_text((REPOSITORY / "config.yaml").read_text().replace("experiment: scenes\n", "") + text)
    command = ["snakemake", "-n", "--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(tmp_path)]
    finished = subprocess.run([*command, "--configfile", str(experiment)], capture_output=True, text=True, cwd=tmp_path)
    assert finished.returncode != 0
    assert problem in finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr
    assert not {path for path in files(tmp_path) if "evil" in path or "results" in path}


# JSON of our own stages

BAD_JSON: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not readable as JSON"),
    "half": (b'{"dataset": "scenes", "fol', "not readable as JSON"),
    "a list": (b"[]", "must hold keys and values, not list"),
    "null": (b"null", "must hold keys and values, not NoneType"),
    "no text": (b"\xff\xfe\x00", "not readable as JSON"),
    "deep nesting": (b'{"a": ' + b"[" * 200_000, "not readable as JSON"),
    "a number of 5000 digits": (b'{"a": ' + b"9" * 5000 + b"}", "not readable as JSON"),
    "another version": (b'{"version": 7}', "of another version"),
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_damaged_descriptions_are_refused(tmp_path: Path, command_line: CommandLine, name: str) -> None:
    """data.json and run.json, by all that read them first."""
    content, problem = BAD_JSON[name]
    run = tmp_path / "runs/net/paumer/seed0"
    run.mkdir(parents=True)
    for path in (tmp_path / "data.json", run / "run.json"):
        path.write_bytes(content)
    before = files(tmp_path)
    for read in (lambda: load_run(run), lambda: load(run), lambda: samples(tmp_path / "data.json", "val")):
        assert problem in refusal(read)
    data, output = ("--data", tmp_path / "data.json"), ("--output", tmp_path / "out")
    for arguments in (
        ("samples", *data, *output),
        ("evaluate", "--settings", "{}", *data, "--run", run, *output),
        ("semantics", "--settings", "{}", *data, "--run", run, *output),
        ("maps", "--settings", "{}", *data, "--run", run, *output),
        ("predict", run, "-i", tmp_path, *output),
        ("export", "hub", run, *output),
        ("tune", run, *data, "--speedup", 2),
    ):
        assert problem in command_line.refuse(*arguments), arguments
    assert files(tmp_path) == before


@pytest.mark.parametrize("change", [{"dataset": 3}, {"dataset": "mnist"}, {"folder": None}, {"dataset": "../x"}])
def test_manifests_of_something_else_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    manifest = {"dataset": "scenes", "folder": str(tmp_path), "classes": [], "splits": {}}
    write_text(tmp_path / "data.json", json.dumps(manifest | change))
    assert refusal(samples, tmp_path / "data.json", "val")


@pytest.mark.parametrize(
    "splits",
    [{}, {"val": None}, {"val": []}, {"val": {"class_frequencies": [1]}}, {"val": {"class_frequencies": {"a": "1"}}}]
    + [{"val": {"class_frequencies": {"a": value}}} for value in (-1, 2, float("nan"), float("inf"))],
)
def test_splits_that_are_not_described_are_refused(tmp_path: Path, splits: Any) -> None:
    write_text(tmp_path / "data.json", json.dumps({"splits": splits}))
    assert "describes no 1 classes of split 'val'" in refusal(split_info, tmp_path / "data.json", "val", 1)


@pytest.mark.parametrize("seed", first(range(100), 10))
def test_provenance_of_damaged_records_is_given_or_refused(tmp_path: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)
    content = bytearray(json.dumps({"dataset": "scenes", "splits": {"val": {"images": 3}}, "classes": ["a"]}).encode())
    for place in draw.integers(0, len(content), int(draw.integers(1, 4))):
        content[place] = draw.integers(0, 256)
    (tmp_path / "data.json").write_bytes(content)
    (tmp_path / "table.csv").write_bytes(b"a,b\n1,2\n")
    try:
        trace(tmp_path / "table.csv")
    except Exception:
        assert "data.json" in refusal(trace, tmp_path / "table.csv")


# One printable line, whatever a name holds


def test_errors_are_one_printable_line() -> None:
    assert str(PaumerError("a\nb\x1b[31m\udcff ü")) == "a\\nb\\x1b[31m\\udcff ü"
    handed_over = f"Caught PaumerError in DataLoader worker process 0.\nTraceback ...{HANDED_OVER}a.png: bad\n"
    assert str(PaumerError(handed_over)) == "a.png: bad"


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred", "é" * 100, os.fsdecode(b"\xff")])
def test_strange_names_stay_in_one_line(tmp_path: Path, command_line: CommandLine, name: str) -> None:
    line = command_line.refuse("samples", "--data", tmp_path / name, "--output", tmp_path / "x.png")
    assert line.endswith(": no such file; run the stage that writes it first")


@pytest.mark.parametrize("name", ["x" * 250 + ".json", "图" * 80 + ".json"])
def test_long_names_are_written(tmp_path: Path, name: str) -> None:
    """The temporary name beside a file is not longer than the system allows, whatever that of the file is."""
    write: Callable[[Path, str], None] = write_text
    write(tmp_path / name, "{}")
    assert read_json(tmp_path / name) == {}
    assert files(tmp_path) == {name}
