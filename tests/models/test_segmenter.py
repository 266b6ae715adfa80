"""From images to logits: shapes, padding, upsampling, and the truth that goes along."""

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from paumer.models.heads import cells_to_map
from paumer.models.labels import class_counts
from paumer.strategies.contract import Dense
from paumer.strategies.resize import Resize, Scale

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
    cells = model.decoder(patches)
    assert cells.shape == (2, 32, 4, 5)
    arranged = cells_to_map(cells, (4, 8))
    assert_close(model.patch_logits(images), arranged)
    assert_close(model(images), functional.interpolate(arranged, size=(32, 64), mode="bilinear"))


def test_network_built_for_one_size_runs_at_its_own_as_at_another(make) -> None:
    images = torch.randn(1, 3, 32, 64, dtype=torch.float64)
    own, other = make(), make(size=(64, 64))
    with torch.no_grad():  # constant positions survive resampling
        for model in (own, other):
            model.encoder.vit.pos_embed.fill_(0.5)
    state = {name: value for name, value in own.state_dict().items() if "pos_embed" not in name}
    other.load_state_dict(state, strict=False)
    assert_close(own(images), other(images))


@pytest.mark.parametrize("size", [(32, 64), (27, 60)])
def test_labels_become_the_truth_of_the_cells_that_the_heads_predict(make, size) -> None:
    model, labels = make(decoder={"sub_patch": 2}), torch.randint(5, (2, *size))
    _, state = model.embed(torch.zeros(2, 3, *size, dtype=torch.float64), labels=labels)
    assert state.grid == (4, 8)
    assert torch.equal(state.side_tensors["truth"], class_counts(labels, (4, 8), 8, 2, 5))


def test_without_heads_or_labels_there_is_no_truth(make, images) -> None:
    labels = torch.randint(5, (2, 32, 64))
    assert make(heads=()).embed(images, labels=labels)[1].side_tensors == {}
    assert make().embed(images)[1].side_tensors == {}


def test_every_head_predicts_in_training_and_the_logits_are_those_of_inference(make, images) -> None:
    model, labels = make(heads=(2, 4)), torch.randint(5, (2, 32, 64))
    logits, predictions = model.train_heads(images, labels, Dense())
    assert_close(logits, model.patch_logits(images))
    for block, said in zip((2, 4), predictions, strict=True):
        tokens = model.blocks[:block](model.encoder.embed(images))
        assert_close(said.logits, model.heads[str(block)](tokens[:, 1:]))
        assert torch.equal(said.truth, class_counts(labels, (4, 8), 8, 1, 5))


@pytest.mark.parametrize("scale", [0.75, 0.3])
def test_smaller_inputs_need_no_padding(make, scale) -> None:
    model, images = make(), torch.randn(1, 3, 27, 60, dtype=torch.float64)
    tokens, state = model.embed(images, scale)
    rows, columns = (max(1, round(side * scale / 8)) for side in (27, 60))
    assert state.grid == (rows, columns)
    assert tokens.shape == (1, 1 + rows * columns, 32)
    assert model(images, Resize(Scale(scale))).shape == (1, 5, 27, 60)
