"""Decoders: where cells go, and what a mask is."""

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from paumer.models.decoders import LinearDecoder, MaskTransformer
from paumer.models.heads import LinearHead, cells_to_map


@pytest.mark.parametrize("side", [1, 2, 3])
def test_cells_lie_row_by_row_within_patches_row_by_row(side) -> None:
    height, width = 3, 4
    cells = torch.randn(2, height * width, side**2, 5)
    arranged = cells_to_map(cells, (height, width))
    assert arranged.shape == (2, 5, height * side, width * side)
    for row in range(height * side):
        for column in range(width * side):
            patch = (row // side) * width + column // side
            cell = (row % side) * side + column % side
            assert torch.equal(arranged[:, :, row, column], cells[:, patch, cell])


def test_head_splits_its_outputs_into_cells_of_classes() -> None:
    head, patches = LinearHead(8, 5, sub_patch=2), torch.randn(2, 6, 8)
    flat = patches @ head.linear.weight.T + head.linear.bias
    assert_close(head(patches), flat.view(2, 6, 4, 5))


def test_head_with_norm_ignores_scale_and_shift_of_tokens() -> None:
    head, patches = LinearHead(8, 5, norm=True).double(), torch.randn(2, 6, 8, dtype=torch.float64)
    assert_close(head(patches), head(50 * patches + 3), rtol=1e-4, atol=1e-6)


def test_linear_decoder_is_its_head_arranged() -> None:
    decoder, patches = LinearDecoder(8, 5, sub_patch=2), torch.randn(2, 12, 8)
    assert torch.equal(decoder(patches, (3, 4)), cells_to_map(decoder.head(patches), (3, 4)))


def test_mask_transformer_scores_patches_by_cosine_with_class_tokens() -> None:
    torch.manual_seed(0)
    decoder, patches = MaskTransformer(64, 5, layers=2).eval(), torch.randn(2, 12, 64)
    tokens = torch.cat([decoder.project(patches), decoder.class_tokens.expand(2, -1, -1)], dim=1)
    for block in decoder.blocks:
        tokens = block(tokens)
    tokens = decoder.norm(tokens)
    seen, classes = decoder.project_patches(tokens[:, :12]), decoder.project_classes(tokens[:, 12:])
    cosine = functional.cosine_similarity(seen[:, :, None], classes[:, None], dim=-1)
    logits = decoder(patches, (3, 4))
    assert logits.shape == (2, 5, 3, 4)
    assert logits.isfinite().all()
    assert_close(logits, decoder.mask_norm(cosine).transpose(1, 2).reshape(2, 5, 3, 4), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("width", "heads"), [(32, 1), (192, 3), (384, 6)])
def test_mask_transformer_has_heads_of_64_channels(width, heads) -> None:
    assert MaskTransformer(width, 5, layers=1).blocks[0].attn.num_heads == heads


def test_mask_transformer_treats_patches_alike_wherever_they_lie() -> None:
    torch.manual_seed(0)
    decoder, patches = MaskTransformer(64, 5, layers=2).double().eval(), torch.randn(1, 12, 64, dtype=torch.float64)
    order = torch.randperm(12)
    assert_close(decoder(patches[:, order], (3, 4)).flatten(2), decoder(patches, (3, 4)).flatten(2)[..., order])
