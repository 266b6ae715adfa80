"""Optimisers and learning rates."""

from collections import Counter

import pytest
import torch

from paumer.config.training import Phase
from paumer.training.optimization import Optimization, learning_rate_factor


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "sgd"])
def test_every_parameter_has_one_optimizer(make, settings, optimizer) -> None:
    model = make()
    optimization = Optimization(model, settings(phase={"optimizer": optimizer}), steps=10)
    owned = Counter(id(value) for item in optimization.optimizers for group in item.param_groups
                    for value in group["params"])  # fmt: skip
    assert owned == Counter(id(value) for value in model.parameters())


def test_muon_takes_the_matrices_of_the_blocks(make, settings) -> None:
    model = make()
    muon, _ = Optimization(model, settings(), steps=10).optimizers
    taken = {id(value) for group in muon.param_groups for value in group["params"]}
    names = {name for name, value in model.named_parameters() if id(value) in taken}
    layers = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    assert names == {f"encoder.vit.blocks.{block}.{layer}.weight" for block in range(4) for layer in layers}


def test_weight_decay_is_for_matrices_and_peaks_are_by_part(make, settings) -> None:
    model = make()
    described = settings(phase={"optimizer": "adamw", "weight_decay": 0.07})
    phase = described.phase.model_copy(update={"head_learning_rate": 0.5})
    optimization = Optimization(model, described.model_copy(update={"phase": phase}), steps=10)
    names = {id(value): name for name, value in model.named_parameters()}
    for group in optimization.optimizers[0].param_groups:
        for value in group["params"]:
            name = names[id(value)]
            positional = name.endswith(("pos_embed", "cls_token"))
            assert group["weight_decay"] == (0.07 if value.ndim >= 2 and not positional else 0.0), name
            assert group["peak"] == (1e-3 if name.startswith("encoder.") else 0.5), name


@pytest.mark.parametrize("decay", ["poly", "cosine"])
@pytest.mark.parametrize(("steps", "warmup"), [(100, 0.1), (100, 0.0), (7, 0.5), (1, 0.0)])
def test_learning_rate_rises_to_its_peak_then_falls_towards_0(decay, steps, warmup) -> None:
    phase = Phase(decay=decay, warmup=warmup)
    factors = [learning_rate_factor(step, steps, phase) for step in range(steps)]
    peak = round(warmup * steps)
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[peak] == 1
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert learning_rate_factor(steps, steps, phase) == pytest.approx(0)


def test_learning_rate_of_an_example() -> None:
    poly, cosine = Phase(decay="poly", warmup=0.2), Phase(decay="cosine", warmup=0.2)
    assert learning_rate_factor(0, 10, poly) == pytest.approx(1 / 3)
    assert learning_rate_factor(6, 10, poly) == pytest.approx(0.5**0.9)
    assert learning_rate_factor(6, 10, cosine) == pytest.approx(0.5)


@pytest.mark.parametrize("decay", ["poly", "cosine"])
def test_a_decay_may_end_above_0_where_another_phase_goes_on(decay) -> None:
    phase = Phase(decay=decay, warmup=0, final=0.3)
    assert learning_rate_factor(0, 10, phase) == 1
    assert learning_rate_factor(10, 10, phase) == pytest.approx(0.3)
    assert learning_rate_factor(5, 10, phase) == pytest.approx(
        0.3 + 0.7 * learning_rate_factor(5, 10, Phase(decay=decay, warmup=0))
    )


def test_step_sets_the_rate_of_its_step_and_clips_the_gradient(make, settings) -> None:
    model = make()
    described = settings(phase={"optimizer": "adamw", "clip": 0.5})
    optimization = Optimization(model, described, steps=10)
    norms = []
    for optimizer in optimization.optimizers:
        optimizer.register_step_pre_hook(
            lambda *_: norms.append(
                torch.stack([value.grad.norm() for value in model.parameters() if value.grad is not None]).norm()
            )
        )
    (1e3 * model(torch.ones(1, 3, 32, 64, dtype=torch.float64)).square().sum()).backward()
    optimization.step(5)
    assert norms[0] == pytest.approx(0.5, rel=1e-3)
    factor = learning_rate_factor(5, 10, described.phase)
    assert all(group["lr"] == pytest.approx(1e-3 * factor) for group in optimization.optimizers[0].param_groups)
    assert all(value.grad is None for value in model.parameters())


def gradient_step(model, optimization, step: int) -> None:
    model(torch.ones(1, 3, 32, 64, dtype=torch.float64)).square().sum().mul(1e3).backward()
    optimization.step(step)


def test_clip_0_leaves_the_gradient_as_it_is(make, settings) -> None:
    steps = []
    for clip in (0, 1e12):
        model = make()
        gradient_step(model, Optimization(model, settings(phase={"optimizer": "sgd", "clip": clip}), 10), 0)
        steps.append(model.decoder.linear.weight.detach())
    assert torch.equal(*steps)
    model = make()
    gradient_step(model, Optimization(model, settings(phase={"optimizer": "sgd", "clip": 1e-3}), 10), 0)
    assert not torch.equal(model.decoder.linear.weight, steps[0])


@pytest.mark.parametrize("momentum", [0.9, 0.5, 0.0])
def test_sgd_has_the_momentum_of_nesterov(make, settings, momentum) -> None:
    """By its formula: v <- m v + g; the step is g + m v, as timm's `sgd`."""
    model = make()
    phase = {"optimizer": "sgd", "clip": 0, "weight_decay": 0.07, "momentum": momentum}
    optimization = Optimization(model, settings(phase=phase), steps=10)
    weight = model.decoder.linear.weight
    expected, velocity = weight.detach().clone(), torch.zeros_like(weight)
    for step in range(3):
        model(torch.ones(1, 3, 32, 64, dtype=torch.float64)).square().sum().backward()
        slope = weight.grad + 0.07 * expected
        velocity = momentum * velocity + slope
        rate = 1e-3 * learning_rate_factor(step, 10, optimization.phase)
        expected = expected - rate * (slope + momentum * velocity)
        optimization.step(step)
        torch.testing.assert_close(weight.detach(), expected)


def test_the_learning_rate_of_segmenter() -> None:
    """Polynomial of power 0.9 from 1e-3 to a floor of 1e-5, without warm-up: `final` is the floor's share."""
    phase = Phase(learning_rate=1e-3, final=0.01, warmup=0)
    for step in (0, 1, 400, 999):
        expected = (1e-3 - 1e-5) * (1 - step / 1000) ** 0.9 + 1e-5
        assert 1e-3 * learning_rate_factor(step, 1000, phase) == pytest.approx(expected)
