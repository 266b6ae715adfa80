"""ONNX files give what the network gives, in batches of any number, and say what they are."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from exports import BATCHES, POINTS, Exported, Watched, drawn_images, write_small_run
from finished_runs import CROP
from PIL import Image
from tiers import first
from torch.testing import assert_close

from paumer.deployment import export as graphs
from paumer.deployment.network import load_network
from paumer.models import graphs as onnx_model
from paumer.models.graphs import Session, to_onnx, trace
from paumer.strategies.registry import build_strategy, operating_point

PAGE = Path(__file__).parents[2] / "docs/export.md"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_small_run(tmp_path_factory.mktemp("experiment"))


@pytest.fixture(scope="module")
def network(run):
    return load_network(run).requires_grad_(False)


@pytest.fixture(scope="module")
def files(run, tmp_path_factory) -> Exported:
    return Exported(graphs.export_onnx, run, tmp_path_factory.mktemp("onnx"), ".onnx")


@pytest.mark.parametrize("name", first(POINTS))
def test_onnxruntime_gives_the_networks_logits(files, network, name) -> None:
    strategy, schedule = POINTS[name]
    session = Session(files[name], CPU)
    for batch in BATCHES:
        images = drawn_images(batch)
        assert_close(
            session(images), network.with_schedule(schedule, strategy)(images), rtol=1e-4, atol=1e-4, check_stride=False
        )


@pytest.mark.exhaustive
def test_the_same_patches_pause(network) -> None:
    """Which ones run on is all that pausing decides; their order is nobody's business."""
    pause = build_strategy(operating_point("pause", "", POINTS["pause twice"][1]))
    watched = load_watched(network)
    session, images = Session(to_onnx(trace(watched, pause, CROP, "running")).SerializeToString(), CPU), drawn_images(5)
    expected = watched.running(images, pause)
    assert expected.shape == (5, 12)
    assert torch.equal(session(images).sort(dim=1).values, expected.sort(dim=1).values)


def load_watched(network) -> Watched:
    heads = {int(block): head for block, head in network.heads.items()}
    return Watched(network.encoder, network.decoder, heads).eval()


def test_a_file_says_what_it_is(files, network) -> None:
    model = onnx.load(files["pause"])
    onnx.checker.check_model(model, full_check=True)
    [images], [logits] = model.graph.input, model.graph.output
    assert (images.name, shape_of(images)) == ("images", ["batch", 3, *CROP])
    assert (logits.name, shape_of(logits)) == ("logits", ["batch", 19, *CROP])
    notes = {entry.key: entry.value for entry in model.metadata_props}
    assert notes == Session(files["pause"], CPU).notes
    assert (notes["strategy"], notes["criterion"], notes["schedule"]) == ("pause", "entropy", "2:0.4")
    assert (notes["height"], notes["width"]) == tuple(map(str, CROP))
    assert json.loads(notes["classes"]) == list(network.description.classes)
    assert json.loads(notes["mean"]) == [0.485, 0.456, 0.406]
    assert set(json.loads(notes["exported_by"])) == {"version", "revision"}
    content = files["pause"].read_bytes()
    assert str(Path(graphs.__file__).parents[2]).encode() not in content  # nothing of this machine


def shape_of(value: onnx.ValueInfoProto) -> list:
    return [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]


@pytest.mark.exhaustive
def test_an_exit_takes_along_no_block_behind_it(files) -> None:
    assert files["early-exit"].stat().st_size < 0.8 * files["dense"].stat().st_size


def test_the_pages_example_runs(files, network, tmp_path, monkeypatch) -> None:
    [code] = re.findall(r"```python\n(import json.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(code.strip().splitlines()) <= 12
    (tmp_path / "street.onnx").write_bytes(files["pause"].read_bytes())
    pixels = np.random.default_rng(0).integers(0, 256, (*CROP, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "street.png")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    expected = network.with_schedule("2:0.4")(image)
    assert_close(torch.from_numpy(names["logits"]), expected, rtol=1e-4, atol=1e-4, check_stride=False)


def test_a_file_that_gives_something_else_is_not_left(command, run, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(graphs, "Session", lambda path, device: lambda images: torch.zeros(2, 19, *CROP))
    monkeypatch.setattr(graphs, "trace", lambda *arguments: None)
    monkeypatch.setattr(graphs, "to_onnx", lambda *arguments: onnx.ModelProto())
    _, error = command("export", "onnx", run, "--schedule", "2:0.4", "-o", tmp_path / "street.onnx")
    assert "street.onnx: not written, because its logits differ from those of the network by" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--schedule", "2@0.4"), "pause 2@0.4: computes more or less as the images show"),
        (("--schedule", "2:0.4 over batch"), "computes more or less as the images show"),
        (("--schedule", "2@0.4", "--strategy", "adaptive-exit"), "computes more or less as the images show"),
        (("--schedule", "2:0.4", "--criterion", "random"), "--criterion random: draws anew"),
        (("--schedule", "2:0.4", "--criterion", "oracle"), "criterion oracle needs the ground truth"),
        (("--schedule", "4:0.4"), "4:0.4"),
        (("--size", "512"), "'512' is no height and width; write them as 512x1024"),
        (("--evaluation", "{inference: whole}"), "--size: the network sees whole images"),
        (("--speedup", "1.5"), "no operating point of"),
    ],
)
def test_what_cannot_be_exported_is_said_in_a_line(command, run, tmp_path, options, message) -> None:
    _, error = command("export", "onnx", run, "-o", tmp_path / "street.onnx", *options)
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_other_endings_are_refused(command, run, tmp_path) -> None:
    _, error = command("export", "onnx", run, "-o", tmp_path / "street.pt2")
    assert error.endswith("street.pt2: name it street.onnx, with the ending .onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_package_that_is_missing_is_named(command, run, tmp_path, monkeypatch, package) -> None:
    monkeypatch.setattr(onnx_model, "find_spec", lambda name: None if name == package else find_spec(name))
    _, error = command("export", "onnx", run, "-o", tmp_path / "street.onnx")
    assert error == f"paumer: error: {package}: not installed, and ONNX needs it; pip install 'paumer[onnx]'"


def test_a_graph_that_onnx_does_not_hold_is_said_in_a_line(network, monkeypatch) -> None:
    program = trace(network, network.strategy, CROP)
    monkeypatch.setattr(onnx_model, "LARGEST", 1000)
    with pytest.raises(
        graphs.PaumerError, match=r"GiB do not fit into one ONNX file of 2 GiB; use `paumer export torch`"
    ):
        to_onnx(program)
