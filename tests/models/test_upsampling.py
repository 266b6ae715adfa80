"""Upsampling is the library's, and class ids need no logits of all classes at full size."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from paumer.models import upsampling as module
from paumer.models.upsampling import upsample, upsampled_labels


@given(
    st.integers(0, 10**6),
    st.integers(1, 25),
    st.sampled_from([(8, 8), (6, 12), (14, 14)]),
    st.tuples(st.integers(0, 7), st.integers(0, 7)),
    st.booleans(),
)
def test_labels_are_those_of_upsampling_everything(seed, classes, scale, cut, ties) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, 3, 5, generator=generator)
    if ties:
        logits = logits.round()
    padded = (3 * scale[0], 5 * scale[1])
    size = (padded[0] - cut[0] % scale[0], padded[1] - cut[1] % scale[1])
    full = upsample(logits, padded)[..., : size[0], : size[1]]
    assert torch.equal(upsampled_labels(logits, padded, size), full.argmax(dim=1))


SMALL, LARGE = (st.tuples(st.integers(1, most), st.integers(1, most)) for most in (9, 40))


@given(SMALL, LARGE, st.sampled_from(["float32", "float64"]))
def test_upsampling_is_the_librarys(small, large, dtype) -> None:
    maps = torch.randn(2, 3, *small, dtype=getattr(torch, dtype), requires_grad=True)
    expected = functional.interpolate(maps, size=large, mode="bilinear")
    upsampled = upsample(maps, large)
    assert_close(upsampled, expected)
    weights = torch.randn_like(expected)
    gradients = [torch.autograd.grad((made * weights).sum(), maps)[0] for made in (upsampled, expected)]
    assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_logits_of_other_types_keep_them() -> None:
    maps = torch.randn(1, 2, 3, 3)
    assert upsample(maps.bfloat16(), (9, 9)).dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(upsample(maps, (9, 9)), upsample(maps.clone(), (9, 9)).float())
        assert upsample(maps, (9, 9)).dtype == torch.float32


class Largest(TorchDispatchMode):
    """The most elements of any tensor that was made."""

    most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple) else (made,):
            self.most = max(self.most, tensor.numel() if isinstance(tensor, torch.Tensor) else 0)
        return made


def test_never_holds_all_classes_at_full_size() -> None:
    with Largest() as seen:
        upsampled_labels(torch.randn(1, 150, 4, 4), (64, 64), (64, 64))
    assert seen.most == module.CHUNK * 64 * 64


@pytest.mark.parametrize("shape", [(2, 3, 32, 64), (1, 3, 37, 50)])
def test_a_network_predicts_the_labels_of_its_logits(make, shape) -> None:
    model, images = make(), torch.randn(shape, dtype=torch.float64)
    assert torch.equal(model.predict_labels(images), model(images).argmax(dim=1))
