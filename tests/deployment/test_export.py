"""Exported files give the logits of the network, in batches of any size and without PAUMER, and describe themselves."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import onnx
import pytest
import timm
import torch
from finished_runs import CROP, write_run
from PIL import Image
from tiers import first
from torch import Tensor, nn
from torch.testing import assert_close

from paumer.config.network import STATISTICS
from paumer.data.scenes import draw_scene
from paumer.deployment import export as exporting
from paumer.deployment.network import load
from paumer.deployment.settings import ExportSettings
from paumer.models import graphs
from paumer.models.graphs import Session, to_onnx, trace, weight_bytes
from paumer.models.wrap import wrap
from paumer.strategies.registry import build_strategy, read_point
from paumer.system.errors import PaumerError

PAGE = Path(__file__).parents[2] / "docs/export.md"
REPOSITORY = str(Path(exporting.__file__).parents[2]).encode()
CPU = torch.device("cpu")
ENDINGS = [".onnx", ".pt2"]
POINTS = {  # strategy, schedule
    "pause": ("pause", "2:0.4"),
    "early-exit": ("early-exit", "exit:1"),
    "dense": ("pause", "dense"),
    "pause twice": ("pause", "1:0.2+2:0.3"),
    "rejoin": ("pause", "1:0.4 rejoin 3"),
    "merge": ("merge", "1:0.2"),
    "shared patches": ("shared-patches", "share:0.4"),
}
ALONE = """
import sys, torch
program = torch.export.load(sys.argv[1]).module()
logits = program(torch.ones(1, 3, 32, 48))
assert not any(name.split(".")[0] == "paumer" for name in sys.modules)
print(tuple(logits.shape))
"""


class Exported(dict[str, Path]):
    """Exported files by their name, each written when it is first asked for."""

    def __init__(self, run: Path, folder: Path) -> None:
        super().__init__()
        self.run, self.folder = run, folder

    def __missing__(self, name: str) -> Path:
        strategy, schedule = POINTS[Path(name).stem]
        exporting.export(ExportSettings(strategy=strategy, schedule=schedule), self.run, self.folder / name)
        self[name] = self.folder / name
        return self[name]


def drawn_images(count: int) -> Tensor:
    """Normalised street scenes, (count, 3, *CROP)."""
    rng = np.random.default_rng(0)
    pixels = np.stack([draw_scene(rng, *CROP)[0] for _ in range(count)])
    known = STATISTICS["imagenet"]
    mean, std = (torch.tensor(values).view(3, 1, 1) * 255 for values in (known.mean, known.std))
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2) - mean) / std


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of three blocks whose heads read the decoder through adapters, as those of the default experiment do."""
    heads = {"heads": (1, 2), "adapter": 8, "context": 3, "layers": 1, "classifier": "decoder"}
    return write_run(tmp_path_factory.mktemp("experiment"), depth=3, **heads)


@pytest.fixture(scope="module")
def network(run):
    return load(run).requires_grad_(False)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory) -> Exported:
    return Exported(run, tmp_path_factory.mktemp("exported"))


@pytest.mark.parametrize(
    ("name", "ending"), first([(name, ending) for name in POINTS for ending in ENDINGS], 2, lambda case: case[1])
)
def test_a_file_gives_the_networks_logits(exported, network, name, ending) -> None:
    strategy, schedule = POINTS[name]
    path = exported[name + ending]
    run = Session(path, CPU) if ending == ".onnx" else torch.export.load(path).module()
    for batch in (1, 2, 5):
        images = drawn_images(batch)
        expected = network.with_schedule(schedule, strategy)(images)
        assert_close(run(images), expected, rtol=1e-4, atol=1e-4, check_stride=False)


def test_a_torch_file_runs_without_this_package(exported, tmp_path) -> None:
    command = [sys.executable, "-c", ALONE, exported["pause.pt2"]]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (ran.stdout.strip(), ran.returncode) == (f"(1, 19, {CROP[0]}, {CROP[1]})", 0), ran.stderr


def test_a_torch_file_says_what_it_is_and_nothing_of_this_machine(exported) -> None:
    extra = {exporting.NOTES: ""}
    torch.export.load(exported["pause.pt2"], extra_files=extra)
    notes = json.loads(extra[exporting.NOTES])
    assert (notes["strategy"], notes["schedule"]) == ("pause", "2:0.4")
    assert len(json.loads(notes["classes"])) == 19
    with ZipFile(exported["pause.pt2"]) as archive:
        assert [name for name in archive.namelist() if REPOSITORY in archive.read(name)] == []


def test_an_onnx_file_says_what_it_is_and_nothing_of_this_machine(exported, network) -> None:
    model = onnx.load(exported["pause.onnx"])
    onnx.checker.check_model(model, full_check=True)
    [images], [logits] = model.graph.input, model.graph.output
    assert (images.name, shape_of(images)) == ("images", ["batch", 3, *CROP])
    assert (logits.name, shape_of(logits)) == ("logits", ["batch", 19, *CROP])
    notes = {entry.key: entry.value for entry in model.metadata_props}
    assert (notes["strategy"], notes["criterion"], notes["schedule"]) == ("pause", "entropy", "2:0.4")
    assert (notes["height"], notes["width"]) == tuple(map(str, CROP))
    assert json.loads(notes["classes"]) == list(network.description.classes)
    assert json.loads(notes["mean"]) == [0.485, 0.456, 0.406]
    assert set(json.loads(notes["exported_by"])) == {"version", "revision"}
    assert REPOSITORY not in exported["pause.onnx"].read_bytes()


def shape_of(value: onnx.ValueInfoProto) -> list:
    return [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]


def test_weights_that_are_not_needed_are_left_out(exported, network) -> None:
    """Blocks behind an exit, the decoder that its head does not read, and heads at other blocks."""
    program = torch.export.load(exported["early-exit.pt2"])
    kept = {name.removeprefix("model.") for name, value in program.state_dict.items() if value.numel()}
    assert {name for name in kept if name.startswith("heads.")} == {
        name for name in network.state_dict() if name.startswith("heads.1.")
    }
    assert {name.split(".")[3] for name in kept if name.startswith("encoder.vit.blocks.")} == {"0"}
    assert weight_bytes(program) < 0.6 * sum(4 * value.numel() for value in network.parameters())
    assert all(value.numel() for value in network.parameters())  # the network keeps its own


def test_the_pages_example_runs(exported, network, tmp_path, monkeypatch) -> None:
    [code] = re.findall(r"```python\n(import json.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(code.strip().splitlines()) <= 12
    (tmp_path / "street.onnx").write_bytes(exported["pause.onnx"].read_bytes())
    pixels = np.random.default_rng(0).integers(0, 256, (*CROP, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "street.png")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    expected = network.with_schedule("2:0.4")(image)
    assert_close(torch.from_numpy(names["logits"]), expected, rtol=1e-4, atol=1e-4, check_stride=False)


@pytest.mark.parametrize("form", [(), ("torch",)])
def test_the_command_writes_at_a_size_of_its_own(command, run, tmp_path, form) -> None:
    path = tmp_path / "street.pt2"
    printed, error = command("export", *form, run, "--schedule", "2:0.4", "--size", "30x44", "--output", path)
    assert error == ""
    assert "street.pt2: pause 2:0.4, 30 x 44 pixels, " in printed
    assert "largest difference from the network's logits " in printed
    assert torch.export.load(path).module()(torch.ones(4, 3, 30, 44)).shape == (4, 19, 30, 44)


def test_a_file_that_gives_something_else_is_not_left(command, run, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(exporting, "Session", lambda path, device: lambda images: torch.zeros(2, 19, *CROP))
    monkeypatch.setattr(exporting, "trace", lambda *arguments: None)
    monkeypatch.setattr(exporting, "to_onnx", lambda *arguments: onnx.ModelProto())
    _, error = command("export", run, "--schedule", "2:0.4", "-o", tmp_path / "street.onnx")
    assert "street.onnx: not written, because its logits differ from those of the network by" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--schedule", "2@0.4"), "pause 2@0.4: computes more or less as the images show"),
        (("--schedule", "2@0.4", "--strategy", "adaptive-exit"), "computes more or less as the images show"),
        (("--schedule", "2:0.4", "--criterion", "random"), "--criterion random: draws anew"),
        (("--schedule", "2:0.4", "--criterion", "oracle"), "criterion oracle needs the ground truth"),
        (("--schedule", "4:0.4"), "4:0.4"),
        (("--size", "512"), "'512' is no height and width; write them as 512x1024"),
        (("--evaluation", "{inference: whole}"), "--size: the network sees whole images"),
        (("--speedup", "1.5"), "no operating point of"),
        (("--half",), "--half: has no effect on a graph; leave it out"),
        (("--no-speeds",), "--no-speeds: has no effect on a graph; leave it out"),
    ],
)
def test_what_cannot_be_exported_is_said_in_a_line(command, run, tmp_path, options, message) -> None:
    _, error = command("export", run, "-o", tmp_path / "street.onnx", *options)
    assert message in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("form", "name", "message"),
    [
        (("onnx",), "street.pt2", "street.pt2: name it street.onnx, with the ending .onnx"),
        (("torch",), "street", "street: name it street.pt2, with the ending .pt2"),
        ((), "street.onx", "street.onx: ending .onx is unknown; name a file .onnx or .pt2, or a folder without an"),
        (("zip",), "street", "form: input should be 'hub', 'onnx' or 'torch', not 'zip'"),
        (("hub", "onnx"), "street", "is one name too many; name a format, if any, and a run"),
    ],
)
def test_other_endings_and_formats_are_refused(command, run, tmp_path, form, name, message) -> None:
    _, error = command("export", *form, run, "-o", tmp_path / name)
    assert message in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_package_that_is_missing_is_named(command, run, tmp_path, monkeypatch, package) -> None:
    monkeypatch.setattr(graphs, "find_spec", lambda name: None if name == package else find_spec(name))
    _, error = command("export", run, "-o", tmp_path / "street.onnx")
    assert error == f"paumer: error: {package}: not installed, and ONNX needs it; pip install 'paumer[onnx]'"


def test_a_graph_that_onnx_does_not_hold_is_said_in_a_line(network, monkeypatch) -> None:
    program = trace(network, network.strategy, CROP)
    monkeypatch.setattr(graphs, "LARGEST", 1000)
    with pytest.raises(PaumerError, match=r"GiB do not fit into one ONNX file of 2 GiB; use `paumer export torch`"):
        to_onnx(program)


def test_what_depends_on_the_images_is_refused(network) -> None:
    with pytest.raises(PaumerError, match=r"^pause 2@0\.4: cannot be exported \("):
        trace(network, build_strategy(read_point("2@0.4")), CROP)


@pytest.mark.parametrize("point", first(["pause 2:0.4", "merge 1-2:0.1", "shared-patches share:0.4"]))
def test_a_graph_of_a_rotary_network_gives_its_logits(point) -> None:
    size = {"patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2, "img_size": (32, 64)}
    vit = timm.create_model("vit_small_patch16_dinov3", **size).eval()
    model = wrap(vit, nn.Linear(32, 5), "dense").with_schedule(point)
    program = trace(model, model.strategy, (32, 64))
    for batch in (1, 2):
        images = torch.randn(batch, 3, 32, 64)
        assert_close(program.module()(images), model(images), rtol=0, atol=1e-5, check_stride=False)
