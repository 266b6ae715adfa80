"""A smaller input: resized by hand, then dense, then upsampled to the image."""

import pytest
import torch
from operating_points import strategy
from torch.nn import functional

from paumer.strategies.contract import Dense


def resize_by_hand(model, images, size):
    small = functional.interpolate(images, size=size, mode="bilinear", antialias=True)
    return functional.interpolate(model.patch_logits(small), size=images.shape[-2:], mode="bilinear")


@pytest.mark.parametrize(
    ("scale", "shape", "seen"),
    [
        ("0.5", (32, 64), (16, 32)),
        ("0.75", (32, 64), (24, 48)),
        ("0.6", (32, 64), (16, 40)),  # 19.2 x 38.4 is 2.4 x 4.8 patches
        ("0.01", (32, 64), (8, 8)),
        ("0.75", (37, 50), (24, 40)),  # 3.47 x 4.69 patches
    ],
)
@pytest.mark.parametrize("network", ["plain", "masked"])
def test_smaller_input_is_the_image_resized_to_whole_patches(request, network, scale, shape, seen) -> None:
    model = request.getfixturevalue(network)
    images = torch.randn(2, 3, *shape, dtype=torch.float64)
    logits = model(images, strategy("resize", f"scale:{scale}"))
    assert logits.shape == (2, 5, *shape)
    torch.testing.assert_close(logits, resize_by_hand(model, images, seen))


@pytest.mark.parametrize("shape", [(32, 64), (37, 50)])
def test_scale_1_is_dense(plain, shape) -> None:
    images = torch.randn(2, 3, *shape, dtype=torch.float64)
    assert torch.equal(plain(images, strategy("resize", "scale:1")), plain(images, Dense()))


def test_the_truth_shrinks_with_the_image(plain, images, labels) -> None:
    _, state = plain.embed(images, 0.5, labels)
    assert state.side_tensors["truth"].shape == (3, 2 * 4, 4, 5)
    nearest = labels[:, ::2, ::2]
    assert state.side_tensors["truth"].sum(dim=(1, 2)).tolist() == [
        [(image == c).sum() for c in range(5)] for image in nearest
    ]
