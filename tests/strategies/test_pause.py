"""Pausing: which patches go on, where they come back, and what the others keep."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from operating_points import restored
from tiers import examples
from torch.testing import assert_close

from paumer.strategies.contract import Dense
from paumer.strategies.criteria import entropy
from paumer.strategies.notation import Location, Schedule
from paumer.strategies.pause import Pause

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


@settings(max_examples=examples(10))
@given(schedules())
def test_running_places_differ_from_each_other(blockless, images, schedule) -> None:
    places = running_places(blockless.encode(images, Pause(schedule, "random"))[1])
    assert places.shape == (3, schedule.running(PATCHES)[schedule.blocks[-1]])
    assert all(len(set(image)) == len(image) for image in places.tolist())


def test_paused_patches_are_those_of_lowest_score(model, images) -> None:
    scores = entropy(model.heads["3"](after_blocks(model, images, 3)[:, model.encoder.prefix :]))
    _, state = model.encode(images, pause("3:0.4"))
    runs = torch.zeros_like(scores, dtype=torch.bool).scatter(1, running_places(state), True)
    for score, running in zip(scores, runs, strict=True):
        assert score[~running].max() < score[running].min()


def test_criterion_decides_who_runs(model, images) -> None:
    kept = [
        running_places(model.encode(images, pause("3:0.5", name))[1]).sort().values for name in ("entropy", "margin")
    ]
    assert not torch.equal(*kept)


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


def test_random_criterion_needs_no_head(plain, images) -> None:
    headless = copy.copy(plain)
    headless._modules = plain._modules | {"heads": torch.nn.ModuleDict()}
    assert headless(images, pause("3:0.4", "random")).isfinite().all()


def test_pausing_works_at_sizes_that_are_no_multiple_of_the_patch(plain, watch) -> None:
    image = torch.randn(1, 3, 37, 50, dtype=torch.float64)
    with watch(plain) as seen:
        assert plain(image, pause("3:0.5")).shape == (1, 5, 37, 50)
    assert [tokens.shape[1] for _, tokens in seen] == 3 * [1 + 35] + 3 * [1 + 35 - round(17.5)]
