"""Running many strategies at once: the logits of separate passes, and each shared block once."""

from collections import Counter

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from operating_points import strategy
from tiers import examples

from paumer.strategies.contract import Dense
from paumer.strategies.notation import Location, Schedule
from paumer.strategies.pause import Pause

POINTS = [
    strategy("pause", "2:0.3+4:0.3"),
    strategy("early-exit", "exit:4"),
    Dense(),
    strategy("pause", "2:0.3"),
    strategy("early-exit", "exit:2"),
    strategy("pause", "4:0.5"),
    strategy("pause", "2:0.3", "margin"),
    strategy("pause", "2:0.3+4:0.3", "margin"),
    Pause(Schedule()),
    strategy("merge", "1-4:0.1"),
    strategy("merge", "1-2:0.1"),
    strategy("local-merge", "1:0.3+3:0.2"),
    strategy("local-merge", "1@0.5+3@0.9"),
    strategy("token-exit", "2:0.4 keep 1"),
    strategy("token-exit", "2@0.5+4@0.5 keep 1"),
    strategy("adaptive-exit", "2@0.22+4@0.22"),
    strategy("resize", "scale:0.75"),
    strategy("merge>pause", "1-2:0.1>4:0.4"),
]


def same(first: torch.Tensor, second: torch.Tensor) -> bool:
    return torch.allclose(first, second, rtol=0, atol=1e-12)


def test_sweep_that_counts_or_knows_the_truth_gives_the_same(plain, images, labels) -> None:
    plainly, counted = plain.sweep(images, POINTS), plain.sweep(images, POINTS, labels, count=True)
    for first, second in zip(plainly, counted, strict=True):
        assert torch.equal(first.logits, second.logits)
        assert first.macs is None
        assert second.macs.shape == (3,)


def test_shared_blocks_run_once(model, images, watch) -> None:
    with watch(model) as seen:
        model.sweep(images, POINTS[:9])
    # From block 3: dense, entropy and margin. From block 5: dense, 4:0.5, and two for each criterion.
    assert Counter(number for number, _ in seen) == {1: 1, 2: 1, 3: 3, 4: 3, 5: 6, 6: 6}


def test_merges_that_begin_alike_share_their_blocks(plain, images, watch) -> None:
    with watch(plain) as seen:
        plain.sweep(images, [Dense(), strategy("merge", "1-4:0.1"), strategy("merge>pause", "1-2:0.1>4:0.4")])
    # In block 1 and 2: dense and the merges. After block 2 the second merges no more.
    assert Counter(number for number, _ in seen) == {1: 2, 2: 2, 3: 3, 4: 3, 5: 3, 6: 3}


def test_blocks_that_no_strategy_needs_do_not_run(model, images, watch) -> None:
    with watch(model) as seen:
        model.sweep(images, [strategy("early-exit", "exit:1"), strategy("early-exit", "exit:3")])
    assert [number for number, _ in seen] == [1, 2, 3]


def test_sweep_of_nothing_is_nothing(plain, images) -> None:
    assert plain.sweep(images, []) == []


LOCATIONS = st.lists(st.tuples(st.integers(1, 5), st.sampled_from([0.1, 0.3])), max_size=3)
PAUSES = st.builds(
    lambda locations, criterion: Pause(
        Schedule(tuple(Location(*location) for location in sorted(dict(locations).items()))), criterion
    ),
    LOCATIONS,
    st.sampled_from(["entropy", "margin"]),
)


@settings(max_examples=examples(12))
@given(st.lists(PAUSES | st.sampled_from(POINTS), min_size=1, max_size=6))
def test_any_sweep_equals_separate_passes(plain, images, strategies) -> None:
    for one, output in zip(strategies, plain.sweep(images[:1], strategies), strict=True):
        assert same(output.logits, plain.patch_logits(images[:1], one))
