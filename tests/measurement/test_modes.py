"""Compiled networks give what eager ones give, and explicit attention what fused attention gives."""

import shutil
from functools import partial

import pytest
import torch
from tiers import exhaustive
from torch.testing import assert_close

from paumer.measurement.floor import Floor
from paumer.measurement.modes import callable_of, form_of, with_explicit_attention
from paumer.strategies.contract import Dense
from paumer.strategies.notation import Schedule
from paumer.strategies.pause import Pause

SCHEDULES = ["2:0.4", "1:0.2+3:0.3"]
SIZES = [(32, 64), (48, 40)]
compiles = pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")


@pytest.fixture(scope="module")
def model(make):
    return make(options={"patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2}, heads=(1, 2, 3))


@pytest.fixture(params=[pytest.param("inductor", marks=[exhaustive, compiles]), "eager"])
def backend(request, monkeypatch) -> str:
    """What compiles: the default, or for a quick test the same graphs, run as they are."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=request.param))
    return request.param


@pytest.mark.exhaustive
@pytest.mark.usefixtures("backend")
def test_compiled_logits_are_those_of_eager_at_several_sizes(model) -> None:
    """All in turn, as the stage does it: every schedule and every size is a graph of its own."""
    schedules = [Pause(Schedule(text)) for text in SCHEDULES]
    compiled = [callable_of(model, pause, "logits", "compile") for pause in schedules]
    with torch.inference_mode():
        for size in 2 * SIZES:
            images = torch.randn(2, 3, *size)
            for call, pause in zip(compiled, schedules, strict=True):
                assert_close(call(images), model(images, pause), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("backend")
def test_a_compiled_floor_runs_all_its_blocks(model) -> None:
    """What it gives depends on the image, and on the blocks before every cut: nothing was optimised away."""
    floor = callable_of(model, Floor(Schedule("1:0.2+3:0.3")), "patch-logits", "compile")
    with torch.inference_mode():
        first, second = floor(torch.randn(1, 3, 32, 64)), floor(torch.randn(1, 3, 32, 64))
    assert first.shape == (1, 19, 4, 8)
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_inference_form_is_shared_and_of_its_own_number_type(model, dtype) -> None:
    images = torch.randn(1, 3, 32, 64)
    strategies = [Dense(), Pause(Schedule("2:0.4")), Floor(Schedule("2:0.4"))]
    calls = [callable_of(model, strategy, "logits", "optimized", dtype=dtype) for strategy in strategies]
    assert form_of(model, dtype) is form_of(model, dtype)
    assert form_of(model, dtype).blocks[0].mlp.fc1.weight.dtype == getattr(torch, dtype)
    close = {"rtol": 1e-3, "atol": 1e-4} if dtype == "float32" else {"rtol": 0.1, "atol": 0.1}
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        given = [call(images) for call in calls]
    with torch.inference_mode():
        assert_close(given[0], model(images), **close)
        assert dtype == "bfloat16" or torch.allclose(given[1], model(images, strategies[1]), **close)
    assert given[2].shape == given[1].shape


@pytest.mark.parametrize(("scope", "shape"), [("logits", (2, 19, 37, 50)), ("labels", (2, 37, 50))])
def test_scopes(model, scope, shape) -> None:
    assert callable_of(model, Dense(), scope, "eager")(torch.randn(2, 3, 37, 50)).shape == shape


def test_explicit_attention_is_the_same_network(model) -> None:
    images, plain = torch.randn(2, 3, 32, 64), with_explicit_attention(model)
    assert not any(block.attn.fused_attn for block in plain.blocks)
    assert all(block.attn.fused_attn for block in model.blocks)
    assert_close(plain(images), model(images), rtol=1e-4, atol=1e-5)
