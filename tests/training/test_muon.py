"""Muon equals torch's, in the number type of the iteration, and orthogonalises in any."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from paumer.training import optimization
from paumer.training.optimization import Muon, Optimization, orthogonalized

SHAPES = [(48, 16), (16, 16), (48, 16), (16, 64)]


def matrices() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, requires_grad=True) for shape in SHAPES]


def steps(make: Callable[[list[Tensor]], torch.optim.Optimizer], count: int = 4) -> list[Tensor]:
    values, generator = matrices(), torch.Generator().manual_seed(1)
    optimizer = make(values)
    for _ in range(count):
        for value in values:
            value.grad = torch.randn(value.shape, generator=generator)
        optimizer.step()
    return values


def test_steps_are_those_of_torch_where_both_iterate_in_bfloat16() -> None:
    start = matrices()
    ours = steps(lambda values: Muon(values, lr=0.1, weight_decay=0.05, dtype=torch.bfloat16))
    theirs = steps(lambda values: torch.optim.Muon(values, lr=0.1, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"))
    for own, other, before in zip(ours, theirs, start, strict=True):
        # Products of a batch may be rounded in another order than those of one matrix.
        assert (own - other).norm() < 0.01 * (other - before).norm()


def test_float32_differs_from_bfloat16_by_rounding_alone() -> None:
    low, high = (
        steps(lambda values, dtype=dtype: Muon(values, lr=0.1, weight_decay=0.0, dtype=dtype), count=1)
        for dtype in (torch.bfloat16, torch.float32)
    )
    for one, other, before in zip(low, high, matrices(), strict=True):
        assert 0 < (one - other).norm() < 0.05 * (other - before).norm()


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 32, 8), (2, 8, 32), (1, 1, 5)])
def test_singular_values_come_near_1(shape: tuple[int, int, int]) -> None:
    random = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    values = torch.linalg.svdvals(orthogonalized(random, torch.float32))
    assert values.min() > 0.3 and values.max() < 1.3
    left, _, right = torch.linalg.svd(random, full_matrices=False)
    assert torch.linalg.det(left.mT @ orthogonalized(random, torch.float32) @ right.mT).abs().min() > 0


def test_no_gradient_moves_nothing() -> None:
    zero, missing = torch.ones(4, 4, requires_grad=True), torch.ones(4, 4, requires_grad=True)
    zero.grad = torch.zeros(4, 4)
    Muon([zero, missing], lr=0.1, weight_decay=0.0, dtype=torch.float32).step()
    assert torch.equal(zero, torch.ones(4, 4)) and torch.equal(missing, torch.ones(4, 4))


@pytest.mark.parametrize(("fast", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_it_iterates_in_what_the_device_is_fast_at(make, settings, monkeypatch, fast, dtype) -> None:
    monkeypatch.setattr(optimization, "fast_at_bfloat16", lambda device: fast)
    muon, _ = Optimization(make(), settings(), steps=10).optimizers
    assert isinstance(muon, Muon) and muon.dtype == dtype
