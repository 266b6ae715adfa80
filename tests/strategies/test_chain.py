"""Compositions: each takes what the one before leaves, and all is undone from last to first."""

import pytest
import torch
from operating_points import describe, pairs, restored, strategy
from tiers import first
from torch.testing import assert_close

from paumer.strategies.criteria import entropy
from paumer.strategies.early_exit import AdaptiveExit
from paumer.strategies.merge import LocalMerge, Merge
from paumer.strategies.notation import Schedule
from paumer.strategies.pause import Pause
from paumer.strategies.registry import build_strategy
from paumer.system.errors import PaumerError

PAIRS = pairs()


@pytest.mark.parametrize("point", PAIRS, ids=describe)
def test_every_possible_pair_runs_and_equals_its_separate_pass_in_a_sweep(deep, images, point) -> None:
    chain = build_strategy(point)
    together = deep.sweep(images, [chain, *SWEPT])[0].logits
    assert together.shape == (3, 5, *deep.patch_logits(images[:1], chain).shape[2:])
    assert together.isfinite().all()
    assert_close(together, deep.patch_logits(images, chain), rtol=0, atol=1e-12)
    assert deep(images, chain).shape == (3, 5, 32, 64)


SWEPT = [strategy("merge", "1-8:0.05"), strategy("token-exit", "3:0.4"), strategy("pause", "3:0.4+7:0.3")]


@pytest.mark.parametrize("point", first(PAIRS, 8), ids=describe)
def test_every_possible_pair_treats_images_as_if_they_were_alone(deep_kinds, images, point) -> None:
    chain, network = build_strategy(point), deep_kinds[1]  # with a decoder in which patches see each other
    [together] = network.sweep(images, [chain], count=True)
    for number in range(3):
        [alone] = network.sweep(images[number : number + 1], [chain], count=True)
        assert_close(alone.logits[0], together.logits[number])
        assert alone.macs[0] == together.macs[number]


def merge_then_pause(model, image, away, paused):
    """One image, spelled out: merge `away` patches in block 1, pause `paused` of the tokens after block 3."""
    prefix = model.encoder.prefix
    tokens, state = model.encode(image[None], strategy("merge", f"1:{away / 32:.4f}"))
    places = state.reductions[0].index[0]
    tokens, state = model.embed(image[None])
    merging = Merge(Schedule(f"1:{away / 32:.4f}"))
    for number in (1, 2, 3):
        tokens = model.run_block(number, tokens, state, merging)
    scores = entropy(model.heads["3"](tokens[:, prefix:]))[0]
    running = scores.argsort(descending=True)[: 32 - away - paused].tolist()
    waiting = tokens[0, prefix:].clone()
    kept = torch.cat([tokens[:, :prefix], waiting[running][None]], dim=1)
    sizes = torch.cat([torch.ones(1, prefix, dtype=torch.long), state.sizes[:, running]], dim=1)
    state.bias = sizes.log().to(kept)[:, None, None]
    for number in (4, 5, 6):
        kept = model.run_block(number, kept, state, merging)
    waiting[running] = kept[0, prefix:]
    return waiting[places]


def test_merging_then_pausing_is_what_it_is_spelled_out_for_one_image(model, images) -> None:
    """0.4 of the 24 tokens that merging leaves pause: fractions count what a strategy receives."""
    chain = strategy("merge>pause", "1:0.25>3:0.4")
    final = restored(*model.encode(images, chain))
    for image, patches in zip(images, final, strict=True):
        assert_close(patches, merge_then_pause(model, image, away=8, paused=10))


# Chain: patches that enter each of the 6 blocks, of 32.
ENTERED = {
    ("merge>pause", "1-2:0.1>3:0.2+4:0.2"): [32, 29, 26, 21, 16, 16],
    ("local-merge>pause", "1:0.3>2:0.5"): [32, 23, 11, 11, 11, 11],
    ("token-exit>pause", "1:0.25>2:0.25+3:0.25"): [32, 24, 18, 12, 12, 12],
    ("resize>pause", "scale:0.75>2:0.5"): [18, 18, 9, 9, 9, 9],
    # Merging goes on between two pauses: 3, 3, 4 and 3 of 32 merge; 0.2 of 26 pause twice, which is 5 and 5.
    ("merge>pause", "1-4:0.1>2:0.2+3:0.2"): [32, 29, 21, 12, 9, 9],
    ("pause>merge", "1:0.5>2:0.25+3:0.25"): [32, 16, 12, 8, 8, 8],
}


@pytest.mark.parametrize(("names", "texts"), ENTERED)
def test_fractions_count_what_a_strategy_receives(model, images, watch, names, texts) -> None:
    with watch(model) as seen:
        model(images, strategy(names, texts))
    assert [tokens.shape[1] - model.encoder.prefix for _, tokens in seen] == ENTERED[names, texts]


def test_an_image_that_leaves_changes_nothing_for_those_that_merge_on(plain, images) -> None:
    """What is merged after an exit does not depend on whether another image has left there."""
    tokens = plain.encoder.blocks[:2](plain.encoder.embed(images))
    certain = (1 - entropy(plain.heads["2"](tokens[:, 1:]))).mean(dim=1)
    for threshold in [float(certain.min()) - 0.1, *(certain - 1e-4).tolist(), float(certain.max()) + 0.1]:
        chain = strategy("adaptive-exit>merge", f"2@{max(0, threshold):.4f}>3-5:0.1")
        [together] = plain.sweep(images, [chain], count=True)
        for number in range(3):
            [alone] = plain.sweep(images[number : number + 1], [chain], count=True)
            assert_close(alone.logits[0], together.logits[number])
            assert alone.macs[0] == together.macs[number]


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        ("merge>adaptive-exit", "1-4:0.1>2@0.0+3@0.5"),
        ("adaptive-exit>token-exit", "2@0.0>3:0.4"),
        ("adaptive-exit>pause", "2@0.0>2:0.4"),
        ("token-exit>adaptive-exit", "2:0.4>2@0.0"),
        ("local-merge>adaptive-exit", "1@0.5>2@0.0"),
    ],
)
def test_all_images_may_leave_a_composition(plain, images, names, texts) -> None:
    output = plain(images, strategy(names, texts))
    assert output.isfinite().all()


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        ("pause>token-exit", "2:0.2>4:0.2"),  # paused patches would have no prediction
        ("pause>adaptive-exit", "2:0.2>4@0.9"),
        ("pause>early-exit", "2:0.2>exit:4"),
        ("pause>local-merge", "2:0.2>4:0.2"),  # no grid is left
        ("merge>local-merge", "1:0.2>2:0.2"),
        ("token-exit>local-merge", "1:0.2>2:0.2"),
        ("early-exit>pause", "exit:4>2:0.2"),  # nothing is left to do
        ("early-exit>merge", "exit:4>2:0.2"),
        ("pause>pause", "2:0.2>4:0.2"),
        ("merge>pause>merge", "1:0.2>2:0.2>3:0.2"),
        ("local-merge>merge", "1:0.2>1:0.2"),  # two inside one block
        ("local-merge>merge", "1:0.2+4:0.1>3-5:0.05"),
        # The order of their blocks counts as the order of their names does.
        ("token-exit>pause", "4:0.2>2:0.2"),
        ("token-exit>pause", "2:0.2+5:0.2>3:0.2"),
        ("adaptive-exit>pause", "4@0.9>2:0.2"),
        ("local-merge>pause", "3:0.2>2:0.2"),
        ("local-merge>merge", "3:0.2>1:0.2"),
        ("token-exit>pause", "3@0.9>3:0.4"),  # images have different numbers of patches
        ("token-exit>adaptive-exit", "3@0.9>3@0.4"),
    ],
)
def test_an_impossible_order_is_refused_in_one_line(names, texts) -> None:
    with pytest.raises(PaumerError, match=names.split(">")[0]) as caught:
        strategy(names, texts)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        ("token-exit>pause", "3:0.2>3:0.4"),  # after one block, in the order of the names
        ("token-exit>pause", "1:0.2+3:0.2>3:0.2+5:0.2"),
        ("adaptive-exit>pause", "3@0.22>3:0.4"),
        ("local-merge>pause", "3:0.2>3:0.2"),
        ("local-merge>merge", "1:0.2+4:0.1>2-3:0.05"),
        ("merge>token-exit", "1-5:0.05>2:0.2+4:0.2"),
        ("merge>early-exit", "1-5:0.05>exit:3"),
        ("resize>local-merge>pause", "scale:0.75>1:0.3>2:0.2+4:0.2"),
        ("resize>merge>token-exit>pause", "scale:0.75>1-2:0.1>2:0.2>4:0.3"),
    ],
)
def test_a_possible_order_runs(model, images, names, texts) -> None:
    logits = model(images, strategy(names, texts))
    assert logits.shape == (3, 5, 32, 64)
    assert logits.isfinite().all()


def test_actions_of_several_links_differ_from_those_of_one() -> None:
    thresholds = strategy("adaptive-exit", "3@0.9")
    assert isinstance(thresholds, AdaptiveExit)
    both = strategy("adaptive-exit>pause", "3@0.9>3:0.4")
    assert both.action_key(3) == (thresholds.action_key(3), Pause(Schedule("3:0.4")).action_key(3))
    assert both.action_key(2) is None
    merging = strategy("local-merge>pause", "1:0.2>3:0.4")
    assert merging.merge_key(1) == LocalMerge(Schedule("1:0.2")).merge_key(1)
    assert merging.action_key(3) == Pause(Schedule("3:0.4")).action_key(3)
