"""Pausing: which patches go on, where they come back, and what the others keep."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from operating_points import restored, strategy
from tiers import examples
from torch.testing import assert_close

from paumer.strategies.contract import Dense
from paumer.strategies.criteria import entropy
from paumer.strategies.notation import Location, Schedule
from paumer.strategies.pause import Pause
from paumer.strategies.tokens import TokenPositions

DEPTH = 6
PATCHES = 4 * 8
SCHEDULES = ["1:0.5", "3:0.4", "5:0.9", "2:0.2+4:0.3", "1-3:0.1", "2:0.95", "2:0.01"]
CRITERIA = ["entropy", "confidence", "margin", "balanced", "smoothed", "spaced", "random", "oracle"]


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    blocks = sorted(draw(st.sets(st.integers(1, DEPTH - 1), min_size=1, max_size=3)))
    return Schedule(tuple(Location(block, draw(st.integers(1, 33)) / 100) for block in blocks))


def pause(text: str, criterion: str = "entropy") -> Pause:
    return Pause(Schedule(text), criterion)


def after_blocks(model, images, blocks):
    """The tokens of a dense network after some of its blocks."""
    return model.encoder.blocks[:blocks](model.encoder.embed(images))


def running_places(state):
    """Positions on the grid of the patches that still run, (batch, running)."""
    return state.positions


def pause_one_image(model, image, schedule):
    """Pausing of a single image, spelled out: final patches (patches, width)."""
    tokens = model.encoder.embed(image[None])
    prefix, patches = tokens[:, : model.encoder.prefix], tokens[0, model.encoder.prefix :].clone()
    running = list(range(PATCHES))
    paused_share = 0.0
    shares = {location.block: location.fraction for location in schedule.locations}
    for number, block in enumerate(model.encoder.blocks, start=1):
        out = block(torch.cat([prefix, patches[running][None]], dim=1))
        prefix = out[:, : model.encoder.prefix]
        patches[running] = out[0, model.encoder.prefix :]
        if number in shares:
            paused_share += shares[number]
            scores = entropy(model.heads[str(number)](patches[running][None]))[0].tolist()
            uncertain = sorted(zip(scores, running, strict=True), reverse=True)
            running = sorted(patch for _, patch in uncertain[: PATCHES - round(paused_share * PATCHES)])
    return patches


def test_empty_schedule_is_dense_bit_for_bit(model, images) -> None:
    single, images = copy.deepcopy(model).float(), images.float()
    assert torch.equal(single(images, Pause(Schedule())), single(images, Dense()))


@pytest.mark.parametrize("text", SCHEDULES)
def test_blocks_see_the_prefix_and_the_running_patches_alone(model, images, watch, text) -> None:
    running = Schedule(text).running(PATCHES)
    expected, count = [], PATCHES
    for number in range(1, DEPTH + 1):
        expected.append((number, (3, model.encoder.prefix + count, 32)))
        count = running.get(number, count)
    for batch in (images, 5 * images.flip(-1)):  # whatever the images show
        with watch(model) as seen:
            model(batch, pause(text))
        assert [(number, tuple(tokens.shape)) for number, tokens in seen] == expected


@pytest.mark.parametrize("text", ["3:0.4", "2:0.2+4:0.3", "1:0.3+3:0.2+5:0.3"])
def test_pausing_is_what_it_is_spelled_out_for_one_image(model, images, text) -> None:
    strategy = pause(text)
    final = restored(*model.encode(images, strategy))
    for image, patches in zip(images, final, strict=True):
        assert_close(patches, pause_one_image(model, image, strategy.parameters))


@settings(max_examples=examples(25))
@given(schedules(), st.sampled_from(CRITERIA))
def test_every_patch_comes_back_to_its_place(blockless, images, schedule, criterion) -> None:
    final = restored(*blockless.encode(images, Pause(schedule, criterion)))
    assert torch.equal(final, blockless.encoder.embed(images)[:, blockless.encoder.prefix :])


def test_paused_patches_are_those_of_lowest_score(model, images) -> None:
    scores = entropy(model.heads["3"](after_blocks(model, images, 3)[:, model.encoder.prefix :]))
    _, state = model.encode(images, pause("3:0.4"))
    runs = torch.zeros_like(scores, dtype=torch.bool).scatter(1, running_places(state), True)
    for score, running in zip(scores, runs, strict=True):
        assert score[~running].max() < score[running].min()


def test_paused_patches_keep_the_tokens_of_their_block(model, images) -> None:
    final = restored(*model.encode(images, pause("2:0.25+4:0.25")))
    _, early = model.encode(images, pause("2:0.25"))
    paused = torch.ones(3, PATCHES, dtype=torch.bool).scatter(1, running_places(early), False)
    before = after_blocks(model, images, 2)[:, model.encoder.prefix :]
    assert paused.sum() == 3 * 8
    assert torch.equal(final[paused], before[paused])


@pytest.mark.parametrize("text", ["3:0.4", "2:0.2+4:0.3"])
def test_patches_in_another_order_pause_alike(model, images, text) -> None:
    """Patches, with their positions in them, may stand in any order after the embedding."""
    tokens, state = model.embed(images)
    order = torch.randperm(PATCHES, generator=torch.Generator().manual_seed(0))
    prefix = model.encoder.prefix
    other = torch.cat([tokens[:, :prefix], tokens[:, prefix:][:, order]], dim=1)
    final = []
    for start in (tokens, other):
        ran, strategy = state.fork(), pause(text)
        for number, block in enumerate(model.encoder.blocks, start=1):
            start = block(start)
            if strategy.action_key(number) is not None:
                start = strategy.after_block(number, start, ran)
        final.append(restored(start, ran))
    assert_close(final[1], final[0][:, order])


def rejoin_by_hand(model, images, block, fraction, rejoin):
    """The tokens after the last block, where patches skip the blocks between two."""
    prefix, blocks = model.encoder.prefix, model.encoder.blocks
    tokens = after_blocks(model, images, block)
    head = model.heads[str(block)]
    adapted = tokens[:, prefix:]
    if head.adapter is not None:
        adapted = head.adapter(adapted, TokenPositions((4, 8), len(images)))
    chosen = entropy(head(adapted)).topk(PATCHES - round(fraction * PATCHES)).indices + prefix
    rows = torch.cat([torch.arange(prefix).expand(len(images), -1), chosen], dim=1).unsqueeze(-1).expand(-1, -1, 32)
    ran = blocks[block : rejoin - 1](tokens.gather(1, rows))
    return blocks[rejoin - 1 :](tokens.scatter(1, rows, ran))


@pytest.mark.parametrize("network", ["plain", "sharing"])
def test_patches_that_rejoin_run_on_as_they_waited(request, images, network) -> None:
    network = request.getfixturevalue(network)
    tokens, state = network.encode(images, strategy("pause", "2:0.4 rejoin 5"))
    assert state.positions is None and state.reductions == ()
    assert_close(tokens, rejoin_by_hand(network, images, 2, 0.4, 5))


@pytest.mark.parametrize("text", ["2:0.25+3:0.25 rejoin 5", "2@0.2+3@0.2 rejoin 5"])
def test_all_patches_run_from_the_block_in_which_they_rejoin(model, blockless, images, watch, text) -> None:
    built = strategy("pause", text)
    with watch(model) as seen:
        model(images, built)
    everything = (3, model.encoder.prefix + PATCHES, 32)
    assert [tuple(tokens.shape) == everything for _, tokens in seen] == [True, True, False, False, True, True]
    if not built.varies:
        assert torch.equal(blockless.encode(images, built)[0], blockless.encoder.embed(images))


def test_where_patches_rejoin_later_the_blocks_before_are_shared(plain, images, watch) -> None:
    points = [strategy("pause", f"2:0.5 rejoin {block}") for block in (4, 6)]
    with watch(plain) as seen:
        together = plain.sweep(images, points)
    assert [number for number, _ in seen] == [1, 2, 3, 4, 5, 6, 4, 5, 6]
    for point, output in zip(points, together, strict=True):
        assert torch.equal(output.logits, plain.patch_logits(images, point))


@pytest.mark.parametrize(
    "point",
    [("merge>pause", "1-4:0.1>2:0.3 rejoin 6"), ("token-exit>pause", "1@0.5 keep 1>2@0.5+3@0.45 rejoin 5")],
)
def test_what_was_reduced_since_is_undone_with_it(masked, images, point) -> None:
    built = strategy(*point)
    [together] = masked.sweep(images, [built], count=True)
    for number in range(3):
        [alone] = masked.sweep(images[number : number + 1], [built], count=True)
        assert_close(alone.logits[0], together.logits[number])
        assert alone.macs[0] == together.macs[number]
    _, state = masked.encode(images, built)
    assert {reduction.by for reduction in state.reductions} == {point[0].split(">")[0]}
