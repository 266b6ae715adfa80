"""After which block every patch paused."""

import pytest
import torch
from torch.testing import assert_close

from paumer.evaluation.pauses import watch_pauses
from paumer.strategies.early_exit import EarlyExit, Exit
from paumer.strategies.registry import build_strategy, operating_point


def pause(text: str):
    return build_strategy(operating_point("pause", "entropy", text))


@pytest.mark.parametrize("text", ["2:0.4", "2:0.25+3:0.25", "2@0.3", "2@0.999+3@0.2", "2@0.3+3@0.999"])
def test_every_patch_is_told_where_it_paused(model, text) -> None:
    strategy, image = pause(text), torch.randn(1, 3, 32, 64, dtype=torch.float64)
    seen = watch_pauses(model, image, strategy, watched=(2, 3))
    blocks, logits = seen.blocks, seen.patch_logits
    assert blocks.shape == (4, 8)
    assert_close(logits, model.patch_logits(image, strategy))
    tokens, state = model.encode(image, strategy)
    assert int((blocks == 0).sum()) == state.running(tokens)
    if "@" not in text:
        assert [int((blocks == block).sum()) for block, _ in strategy.parameters.values.items()] == [
            round(fraction * 32) for fraction in strategy.parameters.values.values()
        ]


def test_thresholds_at_which_nothing_pauses_are_not_mixed_up_with_others(model) -> None:
    """At the first block nothing is certain enough: what pauses later must not count as paused there."""
    image = torch.randn(1, 3, 32, 64, dtype=torch.float64)
    blocks = watch_pauses(model, image, pause("2@1+3@0.0001")).blocks
    assert set(blocks.flatten().tolist()) == {0, 3}


def test_entropy_is_seen_until_a_patch_pauses(model) -> None:
    image = torch.randn(1, 3, 32, 64, dtype=torch.float64)
    seen = watch_pauses(model, image, pause("2:0.25"), watched=(2, 3))
    tokens, state = model.encode(image, EarlyExit(Exit(2)))
    assert_close(seen.entropy[2].flatten(), state.scores("entropy", 2, tokens)[0].float())
    assert torch.equal(seen.entropy[3].isnan(), seen.blocks == 2)
