"""The network that comes with the package, and `paumer demo`."""

import re
import shutil
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from deployment.finished_runs import write_run
from PIL import Image
from safetensors.torch import load_file
from tiers import first

import paumer
from paumer.config.network import Data
from paumer.data.preparation import prepare
from paumer.deployment import demo
from paumer.models.weights import find_network
from paumer.system.files import read_json

REPOSITORY = Path(__file__).parents[2]
FILES = ("README.md", "config.json", "model.safetensors")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def network() -> paumer.Segmenter:
    return paumer.load("demo")


def test_the_network_is_small_and_in_the_package() -> None:
    folder = files("paumer") / "models" / "networks" / "demo"
    for name in FILES:
        assert (folder / name).is_file()
    weights = Path(str(folder / "model.safetensors"))
    assert weights.stat().st_size < 6e6
    assert {value.dtype for value in load_file(weights).values()} == {torch.float16}


def test_the_wheel_contains_it(tmp_path: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "paumer", tmp_path / "source" / "paumer", ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, tmp_path / "source")
    command = [sys.executable, "-c", BUILD, str(tmp_path)]
    subprocess.run(command, cwd=tmp_path / "source", check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert {f"paumer/models/networks/demo/{name}" for name in FILES} <= held
    assert "paumer/reporting/page/templates/report.css" in held


@pytest.mark.exhaustive
def test_it_was_trained(network) -> None:
    """On scenes that it has not seen it is far above chance, and entropy chooses better than chance."""
    images, labels = paumer.scenes(24, seed=11)
    table = paumer.sweep(network, images, ["3:0.5"], labels).set_index("strategy")
    control = paumer.sweep(network, images, ["3:0.5"], labels, criterion="random").set_index("strategy")
    assert table.miou["dense"] > 25
    assert table.miou["pause"] > control.miou["pause"] + 2
    assert table.agreement["pause"] > 0.9


def test_its_card_says_how_to_make_it_again(network) -> None:
    card = (find_network("demo") / "README.md").read_text(encoding="utf-8")
    assert "workflow/experiments/demo.yaml" in card
    assert "paumer export hub" in card
    assert network.description.name in card
    assert all(preset.images_per_s is None and preset.speedup is None for preset in network.description.presets)
    assert "None has been measured" not in card
    table = (REPOSITORY / "results/reference/demo/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:dense|\d).*$", table, flags=re.MULTILINE)
    assert len(rows) > 4 and all(row in card for row in rows)
    assert not re.search(r"(?<![\w.])/(root|home|tmp|work)/", card + (find_network("demo") / "config.json").read_text())


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert find_network("demo").is_absolute()
    write_run(tmp_path).rename(tmp_path / "demo" / "run")
    shutil.copytree(tmp_path / "demo" / "run", tmp_path / "demo", dirs_exist_ok=True)
    assert find_network("demo") == Path("demo")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SCORED": 3, "TIMED": 1, "ROUNDS": 3, "BLOCK_SECONDS": 0.001}.items():
        monkeypatch.setattr(demo, name, value)


def test_demo_draws_and_tells(small, tmp_path: Path, command_line) -> None:
    arguments = ["--output", tmp_path / "demo.png", "--schedules", "3:0.4,2:0.2+4:0.2", "--threads", 1]
    code, said, _ = command_line.run("demo", *arguments)
    assert code == 0
    for schedule in ("dense", "3:0.4", "2:0.2+4:0.2"):
        assert re.search(rf"^{re.escape(schedule)} +[\d.]+ +[-\d.]+ +[\d.]+% ", said, flags=re.MULTILINE)
    assert "dense against itself" in said
    with Image.open(tmp_path / "demo.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape[0] > 3 * 96 and pixels.shape[1] > 4 * 192
    assert (pixels == demo.DIFFERENT).all(axis=2).any()


def test_demo_takes_an_image(small, tmp_path: Path, command_line) -> None:
    pixels = paumer.scenes(1, seed=2, height=200, width=260).images[0].permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(tmp_path / "image.png")
    arguments = ["-i", tmp_path / "image.png", "--schedules", "3:0.4", "--threads", 1]
    code, said, _ = command_line.run("demo", "--output", tmp_path / "demo.png", *arguments)
    assert code == 0
    assert "mIoU" not in said
    assert "as dense" in said
    assert (tmp_path / "demo.png").is_file()


@pytest.mark.parametrize(
    ("schedules", "words"), [("dense", "must pause"), ("", "is empty"), ("13:0.4", "acting after block 13")]
)
def test_demo_names_what_cannot_be(schedules: str, words: str, tmp_path: Path, command_line) -> None:
    assert words in command_line.refuse("demo", "--output", tmp_path / "demo.png", "--schedules", schedules)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("folder", "folder: is a folder; name a file"),
        ("picture", "name it picture.png, with one of the endings .png"),
        ("picture.svg", "name it picture.png, with one of the endings .png"),
        ("file/demo.png", "file: is a file; name a folder"),
    ],
)
def test_demo_looks_where_to_write_before_it_works(
    output: str, words: str, tmp_path, monkeypatch, command_line
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(demo, "load", None)  # nothing is loaded
    assert words in command_line.refuse("demo", "--output", tmp_path / output)


STAGES = {
    "semantics": ["--settings", "{fractions: [0.4]}", "--output", "out/semantics"],
    "evaluate": ["--settings", "{sweep: [{strategy: pause, schedules: ['3:0.4']}]}", "--output", "out/accuracy.csv"],
    "maps": ["--settings", "{figures: {pause_maps: 1, pause_schedule: '3:0.4'}}", "--output", "out/maps.png"],
}


@pytest.mark.parametrize("stage", first(STAGES))
def test_stages_know_it(stage: str, tmp_path: Path, command_line, monkeypatch) -> None:
    """And note with what they measured, where they do."""
    monkeypatch.chdir(tmp_path)
    prepare(Data(scenes={"train_images": 1, "val_images": 1, "height": 32, "width": 64}), Path("data.json"), 1)
    arguments = ["--data", "data.json", "--run", "demo", "--threads", 1, *STAGES[stage]]
    code, _, error = command_line.run(stage, *arguments)
    assert code == 0, error
    for path in Path("out").rglob("*.json"):
        if stage != "maps":
            assert "model.safetensors" in read_json(path)["inputs"]
