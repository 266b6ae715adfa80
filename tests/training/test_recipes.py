"""Recipes: what each step trains under."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paumer.config.network import Heads
from paumer.config.training import Exiting, Merging, Pausing, Resizing
from paumer.data.loading import draw_seed
from paumer.strategies.contract import Dense
from paumer.strategies.merge import LocalMerge
from paumer.strategies.notation import Schedule
from paumer.strategies.pause import Pause
from paumer.strategies.resize import Resize
from paumer.strategies.token_exit import TokenExit
from paumer.system.errors import PaumerError
from paumer.training.objective import draw_schedule, draw_strategy

BLOCKS = (2, 3, 4, 6)


@given(
    st.integers(0, 10**6),
    st.lists(st.floats(0.01, 0.99), min_size=2, max_size=2).map(sorted),
    st.integers(1, 5),
    st.sets(st.sampled_from(BLOCKS), min_size=1),
)
def test_drawn_schedules_are_valid_and_within_range(seed, fraction, locations, blocks) -> None:
    pausing = Pausing(none=0.0, fraction=tuple(fraction), locations=locations)
    schedule = draw_schedule(pausing, tuple(sorted(blocks)), random.Random(seed))
    assert 1 <= len(schedule.locations) <= min(locations, len(blocks))
    assert set(schedule.blocks) <= blocks
    rounding = 1e-4 * min(locations, len(blocks))
    assert fraction[0] - rounding <= schedule.paused <= fraction[1] + rounding
    assert Schedule(str(schedule)) == schedule


def test_draws_follow_their_probabilities() -> None:
    generator, draws = random.Random(0), 6000
    drawn = [draw_schedule(Pausing(none=0.25, fraction=(0.2, 0.8)), BLOCKS, generator) for _ in range(draws)]
    counts = Counter(len(schedule.locations) for schedule in drawn)
    assert abs(counts[0] / draws - 0.25) < 0.03
    assert all(abs(counts[count] / draws - 0.25) < 0.03 for count in (1, 2, 3))
    paused = [schedule.paused for schedule in drawn if schedule.locations]
    assert abs(sum(paused) / len(paused) - 0.5) < 0.02
    first = Counter(block for schedule in drawn for block in schedule.blocks)
    assert max(first.values()) < 1.1 * min(first.values())


def test_draws_follow_the_seed() -> None:
    def draw(seed):
        return draw_schedule(Pausing(none=0), BLOCKS, random.Random(seed))

    assert draw(3) == draw(3)
    assert len({str(draw(seed)) for seed in range(20)}) == 20


def test_schedules_are_as_they_always_were() -> None:
    """The same seed and step draw the same schedule, whatever else changes."""
    drawn = [str(draw_schedule(Pausing(), BLOCKS, random.Random(draw_seed(3, step)))) for step in range(5)]
    assert drawn == ["dense", "dense", "6:0.7557", "3:0.1449+6:0.1179", "dense"]


NONE = Pausing(none=1.0)
ALWAYS = Pausing(none=0.0)


@pytest.mark.parametrize(
    ("recipe", "kinds"),
    [
        ("dense", {Dense}),
        ("multi-exit", {Dense}),
        ("shared", {Dense}),
        ("paumer", {Pause}),
        ("token-exit", {TokenExit}),
        ("merge", {Dense, LocalMerge}),
        ("resize", {Resize}),
    ],
)
def test_a_recipe_draws_its_own_strategies(of_recipe, recipe, kinds) -> None:
    described = of_recipe(recipe)
    drawn = [draw_strategy(described, 4, random.Random(seed)) for seed in range(100)]
    assert {type(strategy) for strategy in drawn} == kinds
    assert not any(strategy.per_image for strategy in drawn)


@pytest.mark.parametrize("recipe", ["dense", "paumer", "token-exit", "merge", "resize"])
def test_the_same_seed_draws_the_same_strategy(of_recipe, recipe) -> None:
    def draw(seed: int) -> str:
        strategy = draw_strategy(of_recipe(recipe), 4, random.Random(seed))
        return f"{strategy.name} {strategy.schedule_text}"

    assert [draw(seed) for seed in range(20)] == [draw(seed) for seed in range(20)]
    assert recipe == "dense" or len({draw(seed) for seed in range(20)}) > 1


def test_merging_follows_its_probabilities(of_recipe) -> None:
    merging = Merging(none=0.25, schedules=("1:0.2", "1:0.3+2:0.2", "1:0.45"))
    generator, draws = random.Random(0), 4000
    drawn = Counter(
        draw_strategy(of_recipe("merge", merging=merging), 4, generator).schedule_text for _ in range(draws)
    )
    assert set(drawn) == {"dense", *(point.schedule for point in merging.schedules)}
    assert all(abs(count / draws - 0.25) < 0.03 for count in drawn.values())


def test_input_scales_are_each_as_likely_as_the_others(of_recipe) -> None:
    resizing = Resizing(scales=(1.0, 0.75, 0.5, 0.25))
    generator, draws = random.Random(0), 4000
    drawn = Counter(
        draw_strategy(of_recipe("resize", resizing=resizing), 4, generator).input_scale for _ in range(draws)
    )
    assert set(drawn) == set(resizing.scales)
    assert all(abs(count / draws - 0.25) < 0.03 for count in drawn.values())


def test_pausing_is_drawn_where_a_head_is_and_a_block_follows(of_recipe) -> None:
    described = of_recipe("paumer", heads=Heads(blocks=(1, 2, 4)), pausing=ALWAYS)
    drawn = [draw_strategy(described, 4, random.Random(seed)) for seed in range(50)]
    assert {block for strategy in drawn for block in strategy.parameters.blocks} == {1, 2}
    with pytest.raises(PaumerError, match=r"heads\.blocks: pausing needs a head before block 1"):
        draw_strategy(described, 1, random.Random(0))
    assert draw_strategy(of_recipe("paumer", pausing=NONE), 4, random.Random(0)) == Pause(Schedule())


def test_patches_exit_as_others_pause(of_recipe) -> None:
    """Both recipes draw alike, so that only what happens to a patch that leaves differs."""
    drawn = {"none": 0.5, "locations": 2, "after": 0.5}
    pausing = of_recipe("paumer", pausing=Pausing(**drawn))
    exiting = of_recipe("token-exit", exiting=Exiting(**drawn, keep=20))
    for seed in range(50):
        pauses, exits = (draw_strategy(of, 4, random.Random(seed), seed / 50) for of in (pausing, exiting))
        assert (exits.parameters.schedule, exits.parameters.keep) == (pauses.parameters, 20)


def test_patches_pause_by_the_criterion_of_the_configuration(of_recipe) -> None:
    names = {
        name: draw_strategy(of_recipe("paumer", pausing=Pausing(criterion=name)), 4, random.Random(0)).criterion_name
        for name in ("entropy", "confidence", "spaced", "smoothed")
    }
    assert all(name == used for name, used in names.items())
    assert draw_strategy(of_recipe("paumer"), 4, random.Random(0)).criterion_name == "entropy"


@pytest.mark.parametrize("rejoin", [None, 4])
def test_a_network_may_be_trained_for_one_schedule(of_recipe, rejoin) -> None:
    described = of_recipe("paumer", pausing=Pausing(none=0.25, schedule="1:0.4", rejoin=rejoin, after=0.1))
    drawn = [str(draw_strategy(described, 4, random.Random(seed)).parameters) for seed in range(400)]
    always = "1:0.4" if rejoin is None else "1:0.4 rejoin 4"
    assert set(drawn) == {"dense", always}
    assert 0.2 < drawn.count("dense") / 400 < 0.3
    assert str(draw_strategy(described, 4, random.Random(1), 0.05).parameters) == "dense"


def test_paused_patches_rejoin_where_the_configuration_says_so(of_recipe) -> None:
    described = of_recipe("paumer", heads=Heads(blocks=(1, 2, 3)), pausing=Pausing(none=0, rejoin=4))
    drawn = [draw_strategy(described, 4, random.Random(seed)) for seed in range(50)]
    assert {(str(one).split(" ")[-1], *one.parameters.blocks) for one in drawn} == {("4", 1), ("4", 2), ("4", 1, 2)}
    with pytest.raises(PaumerError, match=r"training\.pausing\.rejoin: no block 4 in a network of 3 blocks"):
        draw_strategy(described, 3, random.Random(0))


def test_pausing_starts_after_a_share_of_the_steps(of_recipe) -> None:
    described = of_recipe("paumer", pausing=Pausing(none=0, after=0.3))
    drawn = [draw_strategy(described, 4, random.Random(7), done / 100) for done in range(100)]
    assert [str(strategy.parameters) == "dense" for strategy in drawn] == [True] * 30 + [False] * 70
