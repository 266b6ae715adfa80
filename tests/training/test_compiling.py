"""Compiled blocks in training. Their graphs run without a C++ compiler here, which not every machine has."""

from functools import partialmethod

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from paumer.system.errors import PaumerError
from paumer.training.loop import train

COMPILE = nn.Module.compile


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch.compiler.reset()


def test_compiled_blocks_train_as_they_are(settings, manifest, tmp_path, monkeypatch) -> None:
    """Schedules leave many different numbers of tokens: graphs for any number serve them all."""
    torch._dynamo.utils.counters.clear()
    monkeypatch.setattr(nn.Module, "compile", partialmethod(COMPILE, backend="aot_eager"))
    monkeypatch.setattr(torch._dynamo.config, "fail_on_recompile_limit_hit", True)
    options = {"batch": 4, "device_batch": 2}
    for compiled in (False, True):
        described = settings(epochs=4, options=options | {"compile": compiled}, phase={"optimizer": "sgd"})
        train(described, manifest, tmp_path / str(compiled), tmp_path / "none", None)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] in range(1, 7)
    losses = [pd.read_csv(tmp_path / name / "train.csv")["loss"] for name in ("True", "False")]
    pd.testing.assert_series_equal(*losses, rtol=1e-5)
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("True", "False")]
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-5)


def test_what_keeps_blocks_from_being_compiled_is_said_in_a_line(settings, manifest, tmp_path, monkeypatch) -> None:
    def broken(graph, inputs):
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(nn.Module, "compile", partialmethod(COMPILE, backend=broken))
    with pytest.raises(PaumerError, match=r"options\.compile: blocks cannot be compiled here \(.*no compiler at all"):
        train(settings(options={"compile": True}), manifest, tmp_path / "run", tmp_path / "none", None)
