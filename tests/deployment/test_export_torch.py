"""What `torch.export` saves gives what the network gives, without this code, and without weights it does not need."""

import json
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch
from exports import BATCHES, POINTS, Exported, drawn_images, write_small_run
from finished_runs import CROP
from tiers import first
from torch.testing import assert_close

from paumer.deployment import export as graphs
from paumer.deployment.network import load_network
from paumer.models.graphs import trace, weight_bytes
from paumer.strategies.registry import build_strategy, operating_point
from paumer.system.errors import PaumerError

ALONE = """
import sys, torch
program = torch.export.load(sys.argv[1]).module()
logits = program(torch.ones(1, 3, 32, 48))
assert not any(name.split(".")[0] == "paumer" for name in sys.modules)
print(tuple(logits.shape))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_small_run(tmp_path_factory.mktemp("experiment"))


@pytest.fixture(scope="module")
def network(run):
    return load_network(run).requires_grad_(False)


@pytest.fixture(scope="module")
def files(run, tmp_path_factory) -> Exported:
    return Exported(graphs.export_torch, run, tmp_path_factory.mktemp("torch"), ".pt2")


@pytest.mark.parametrize("name", first(POINTS, 2))
def test_a_file_gives_the_networks_logits(files, network, name) -> None:
    strategy, schedule = POINTS[name]
    program = torch.export.load(files[name]).module()
    for batch in BATCHES:
        images = drawn_images(batch)
        expected = network.with_schedule(schedule, strategy)(images)
        assert_close(program(images), expected, rtol=1e-4, atol=1e-5, check_stride=False)


def test_a_file_runs_without_this_package(files, tmp_path) -> None:
    ran = subprocess.run([sys.executable, "-c", ALONE, files["pause"]], capture_output=True, text=True, cwd=tmp_path)
    assert (ran.stdout.strip(), ran.returncode) == (f"(1, 19, {CROP[0]}, {CROP[1]})", 0), ran.stderr


def test_a_file_says_what_it_is_and_nothing_of_this_machine(files) -> None:
    extra = {graphs.NOTES: ""}
    torch.export.load(files["pause"], extra_files=extra)
    notes = json.loads(extra[graphs.NOTES])
    assert (notes["strategy"], notes["schedule"]) == ("pause", "2:0.4")
    assert len(json.loads(notes["classes"])) == 19
    here = str(Path(graphs.__file__).parents[2]).encode()
    with ZipFile(files["pause"]) as archive:
        assert [name for name in archive.namelist() if here in archive.read(name)] == []


def test_weights_that_are_not_needed_are_left_out(files, network) -> None:
    """Blocks behind an exit, the decoder that its head does not read, and heads at other blocks."""
    program = torch.export.load(files["early-exit"])
    kept = {name.removeprefix("model.") for name, value in program.state_dict.items() if value.numel()}
    assert {name for name in kept if name.startswith("heads.")} == {
        name for name in network.state_dict() if name.startswith("heads.1.")
    }
    assert {name.split(".")[3] for name in kept if name.startswith("encoder.vit.blocks.")} == {"0"}
    assert weight_bytes(program) < 0.6 * sum(4 * value.numel() for value in network.parameters())
    assert all(value.numel() for value in network.parameters())  # the network keeps its own


def test_what_depends_on_the_images_is_refused(network) -> None:
    pause = build_strategy(operating_point("pause", "", "2@0.4"))
    with pytest.raises(PaumerError, match=r"^pause 2@0\.4: cannot be exported \("):
        trace(network, pause, CROP)


def test_the_command_writes_at_a_size_of_its_own(command, run, tmp_path) -> None:
    path = tmp_path / "street.pt2"
    printed, error = command("export", "torch", run, "--schedule", "2:0.4", "--size", "30x44", "--output", path)
    assert error == ""
    assert "street.pt2: pause 2:0.4, 30 x 44 pixels, " in printed
    assert "largest difference from the network's logits " in printed
    assert torch.export.load(path).module()(torch.ones(4, 3, 30, 44)).shape == (4, 19, 30, 44)


def test_other_endings_are_refused(command, run, tmp_path) -> None:
    _, error = command("export", "torch", run, "-o", tmp_path / "street")
    assert error.endswith("street: name it street.pt2, with the ending .pt2")
