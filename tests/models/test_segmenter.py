"""From images to logits: shapes, padding, upsampling."""

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

DECODERS = {"linear": {}, "sub-patch": {"sub_patch": 2}, "mask transformer": {"name": "mask_transformer"}}


@pytest.mark.parametrize("size", [(32, 64), (30, 61), (17, 9), (40, 72)])
@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
def test_logits_have_the_size_of_the_image(make, decoder, size) -> None:
    logits = make(decoder=decoder)(torch.randn(2, 3, *size, dtype=torch.float64))
    assert logits.shape == (2, 5, *size)
    assert logits.isfinite().all()


def test_padding_is_zeros_on_the_right_and_bottom_and_is_cut_off(make) -> None:
    model, images = make(), torch.randn(2, 3, 27, 60, dtype=torch.float64)
    assert_close(model(images), model(functional.pad(images, (0, 4, 0, 5)))[..., :27, :60])


def test_logits_are_the_decoders_upsampled(make, images) -> None:
    model = make(decoder={"sub_patch": 2})
    encoder = model.encoder
    patches = encoder.norm(encoder.blocks(encoder.embed(images)))[:, 1:]
    cells = model.decoder(patches, (4, 8))
    assert cells.shape == (2, 5, 8, 16)
    assert_close(model(images), functional.interpolate(cells, size=(32, 64), mode="bilinear"))


def test_network_built_for_one_size_runs_at_its_own_as_at_another(make) -> None:
    images = torch.randn(1, 3, 32, 64, dtype=torch.float64)
    own, other = make(), make(size=(64, 64))
    with torch.no_grad():  # constant positions survive resampling
        for model in (own, other):
            model.encoder.vit.pos_embed.fill_(0.5)
    state = {name: value for name, value in own.state_dict().items() if "pos_embed" not in name}
    other.load_state_dict(state, strict=False)
    assert_close(own(images), other(images))
