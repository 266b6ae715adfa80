"""Weights from the hub: the real client of the hub, in a process of its own, against a server on loopback."""

import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from loopback_hub import Hub, run_beside
from safetensors.torch import load_file, save

from paumer.config.network import Backbone, Decoder, NetworkSettings
from paumer.models.backbones import create_vit

TINY = {"embed_dim": 32, "depth": 2, "num_heads": 2}
AUGREG = "vit_tiny_patch16_384.augreg_in21k_ft_in1k"
ARCHITECTURES = [AUGREG, "deit_small_distilled_patch16_224.fb_in1k", "vit_small_patch14_reg4_dinov2.lvd142m"]

CLIENT = """
import sys
from safetensors.torch import save_file
from paumer import cli
from paumer.models.backbones import create_vit
from paumer.config.network import NetworkSettings

def create_all():
    for number, settings in enumerate(sys.argv[1:]):
        save_file(create_vit(NetworkSettings.model_validate_json(settings)).state_dict(), f"{number}.safetensors")

cli.app = create_all
cli.main()
"""


def weights_path(architecture: str) -> str:
    return f"/timm/{architecture}/resolve/main/model.safetensors"


def publish(hub: Hub, architecture: str) -> dict[str, torch.Tensor]:
    """Serve a tiny network of this architecture, with its classifier of images."""
    torch.manual_seed(7)
    weights = timm.create_model(architecture, **TINY, num_classes=10).state_dict()
    hub.files[weights_path(architecture)] = save(weights)
    return weights


def count(hub: Hub, method: str, architecture: str) -> int:
    """How often the weights of an architecture were asked for."""
    return hub.requests.count((method, weights_path(architecture)))


def describe(architecture: str, size: tuple[int, int], weights: str = "hub", **options: int) -> NetworkSettings:
    backbone = Backbone(name="net", architecture=architecture, options=TINY | options, weights=weights)
    return NetworkSettings(backbone=backbone, decoder=Decoder(), heads=None, classes=5, image_size=size)


def run_client(
    folder: Path, endpoint: str, *settings: NetworkSettings, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Create networks in a process of its own."""
    return run_beside(CLIENT, [item.model_dump_json() for item in settings], folder, endpoint, **variables)


@pytest.mark.exhaustive
def test_weights_arrive_once_and_stay(hub: Hub, tmp_path: Path) -> None:
    published = publish(hub, AUGREG)
    settings = describe(AUGREG, (384, 384))
    finished = run_client(tmp_path, hub.endpoint, settings, settings)
    assert finished.returncode == 0, finished.stderr
    assert count(hub, "GET", AUGREG) == 1
    hub.files.clear()
    hub.shutdown()
    hub.server_close()  # what is in the cache needs no hub
    finished = run_client(tmp_path, hub.endpoint, settings, settings, settings)
    assert finished.returncode == 0, finished.stderr
    for number in range(3):
        loaded = load_file(tmp_path / f"{number}.safetensors")
        assert set(published) - set(loaded) == {"head.weight", "head.bias"}
        assert all(torch.equal(value, published[name]) for name, value in loaded.items())


def test_hub_and_local_file_give_the_same_network(hub: Hub, tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"size": (48, 64), "patch_size": 8}
    for architecture in ARCHITECTURES:
        publish(hub, architecture)
    finished = run_client(tmp_path, hub.endpoint, *(describe(architecture, **sizes) for architecture in ARCHITECTURES))
    assert finished.returncode == 0, finished.stderr
    for number, architecture in enumerate(ARCHITECTURES):
        file = tmp_path / f"{architecture}.safetensors"
        file.write_bytes(hub.files[weights_path(architecture)])
        local = create_vit(describe(architecture, weights=str(file), **sizes)).state_dict()
        fetched = load_file(tmp_path / f"{number}.safetensors")
        assert fetched.keys() == local.keys()
        assert all(torch.equal(value, fetched[name]) for name, value in local.items())


def check_refusal(finished: subprocess.CompletedProcess[str], endpoint: str) -> None:
    """One line says what failed, which file to fetch, and where to name it; the client did not try for minutes."""
    assert finished.returncode == 1
    errors = [line for line in finished.stderr.splitlines() if line.startswith("paumer: error: ")]
    assert len(errors) == 1, finished.stderr
    assert errors[0].startswith(f"paumer: error: backbones.net.weights: the hub did not give timm/{AUGREG} (")
    assert f"fetch {endpoint}{weights_path(AUGREG)} where there is a network" in errors[0]
    assert "set weights: to that file" in errors[0]
    assert "Traceback" not in finished.stderr
    assert "Retrying" not in finished.stderr


def test_absent_file_is_one_line(hub: Hub, tmp_path: Path) -> None:
    check_refusal(run_client(tmp_path, hub.endpoint, describe(AUGREG, (32, 32))), hub.endpoint)
    assert count(hub, "HEAD", AUGREG) == 1


@pytest.mark.exhaustive
def test_cut_download_is_one_line_and_leaves_nothing_behind(hub: Hub, tmp_path: Path) -> None:
    published = publish(hub, AUGREG)
    settings = describe(AUGREG, (384, 384))
    hub.cut = True
    check_refusal(run_client(tmp_path, hub.endpoint, settings), hub.endpoint)
    hub.cut = False
    assert run_client(tmp_path, hub.endpoint, settings).returncode == 0
    assert torch.equal(load_file(tmp_path / "0.safetensors")["pos_embed"], published["pos_embed"])


@pytest.mark.exhaustive
@pytest.mark.parametrize("variables", [{}, {"HF_HUB_OFFLINE": "1"}], ids=["unreachable", "offline"])
def test_missing_network_is_one_line(tmp_path: Path, variables: dict[str, str]) -> None:
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        check_refusal(run_client(tmp_path, endpoint, describe(AUGREG, (32, 32)), **variables), endpoint)
