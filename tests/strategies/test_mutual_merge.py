"""Mutual merging: exactly the pairs that name each other, whatever the rest of the batch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from operating_points import restored, strategy
from torch.nn import functional
from torch.testing import assert_close

from paumer.strategies.mutual_merge import mutual_pairs


@given(st.integers(0, 10**6), st.integers(1, 12))
def test_pairs_are_those_that_name_each_other(seed, running) -> None:
    patches = torch.randn(1, running, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    alike = [[float(functional.cosine_similarity(one, other, dim=0)) for other in patches[0]] for one in patches[0]]
    nearest = {
        one: max((other for other in range(running) if other != one), key=alike[one].__getitem__)
        for one in range(running)
        if running > 1
    }
    expected = [(other, one) for one, other in nearest.items() if one < other and nearest[other] == one]
    gone, partner = mutual_pairs(patches)
    assert list(zip(gone[0].tolist(), partner[0].tolist(), strict=True)) == expected


def test_no_image_has_no_pairs() -> None:
    assert [part.shape for part in mutual_pairs(torch.zeros(0, 6, 4))] == [(0, 0), (0, 0)]


@pytest.mark.parametrize("network", ["plain", "masked"])
def test_pairs_run_on_as_their_mean_and_come_back_as_copies(request, images, network) -> None:
    network, image = request.getfixturevalue(network), images[:1]
    tokens = network.encoder.blocks[:2](network.encoder.embed(image))
    gone, partner = (index[0].tolist() for index in mutual_pairs(tokens[:, 1:]))
    assert gone
    merged = dict(zip(partner, gone, strict=True))
    groups = [[patch, merged[patch]] if patch in merged else [patch] for patch in range(32) if patch not in gone]
    mean = torch.stack([tokens[0, 1:][group].mean(dim=0) for group in groups])
    ran = network.encoder.blocks[2:](torch.cat([tokens[:, :1], mean[None]], dim=1))
    final = restored(*network.encode(image, strategy("mutual-merge", "2")))
    for number, group in enumerate(groups):
        assert_close(final[0, group], ran[0, 1 + number].expand(len(group), -1))


def test_the_mean_of_merged_tokens_is_that_of_their_patches(blockless, images) -> None:
    image = images[:1]
    embedded = blockless.encoder.embed(image)[0, blockless.encoder.prefix :]
    tokens, state = blockless.encode(image, strategy("mutual-merge", "1+2+3"))
    place = torch.arange(tokens.shape[1] - blockless.encoder.prefix)[None]
    for reduction in reversed(state.reductions):
        place = reduction.restore(place)
    for number, token in enumerate(tokens[0, blockless.encoder.prefix :]):
        assert_close(token, embedded[place[0] == number].mean(dim=0))
    assert state.bias is None and state.sizes.sum() == 32
