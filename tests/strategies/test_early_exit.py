"""Early exit: the head's word after some blocks, and no block more."""

import pytest
import torch
from operating_points import strategy

from paumer.models.heads import cells_to_map


@pytest.mark.parametrize("block", [1, 3, 6])
def test_exit_is_the_head_on_all_patches_after_its_block(model, images, block) -> None:
    tokens = model.encoder.blocks[:block](model.encoder.embed(images))
    cells = model.heads[str(block)](tokens[:, model.encoder.prefix :])
    assert torch.equal(model.patch_logits(images, strategy("early-exit", f"exit:{block}")), cells_to_map(cells, (4, 8)))


@pytest.mark.parametrize("block", [1, 3, 6])
def test_blocks_after_the_exit_do_not_run(model, images, watch, block) -> None:
    with watch(model) as seen:
        model(images, strategy("early-exit", f"exit:{block}"))
    assert [number for number, _ in seen] == list(range(1, block + 1))


def test_the_decoder_of_an_exit_does_not_run(masked, images, monkeypatch) -> None:
    monkeypatch.setattr(masked.decoder, "forward", None)
    assert masked(images, strategy("early-exit", "exit:2")).isfinite().all()
