"""Reductions undo themselves, and the state counts what each strategy has left."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import ModuleDict
from torch.testing import assert_close

from paumer.strategies.notation import Schedule
from paumer.strategies.state import State
from paumer.strategies.tokens import Finished, Left, Merged, Paused, complement, rows_of, take

BATCH = 3


@st.composite
def choices(draw: st.DrawFn, least: int = 0) -> tuple[int, torch.Tensor]:
    """A count, and different numbers below it in any order, as many for every image."""
    count = draw(st.integers(1, 20))
    chosen = draw(st.integers(least, count))
    orders = [draw(st.permutations(range(count)))[:chosen] for _ in range(BATCH)]
    return count, torch.tensor(orders, dtype=torch.long).reshape(BATCH, chosen)


def draw_values(*shape: int) -> torch.Tensor:
    return torch.randn(BATCH, *shape, dtype=torch.float64)


@given(choices())
def test_complement_holds_the_others_rising(choice) -> None:
    count, chosen = choice
    others = complement(chosen, count)
    for image, rest in zip(chosen.tolist(), others.tolist(), strict=True):
        assert rest == [number for number in range(count) if number not in image]


@given(choices(), st.lists(st.integers(1, 3), max_size=2))
def test_take_takes_whole_patches(choice, trailing) -> None:
    count, chosen = choice
    values = draw_values(count, *trailing)
    expected = torch.stack([image[index] for image, index in zip(values, chosen, strict=True)])
    assert torch.equal(take(values, chosen), expected)


@given(choices())
def test_paused_patches_wait_and_the_others_come_back(choice) -> None:
    count, chosen = choice
    before = draw_values(count, 4)
    reduction = Paused("pause", before, rows_of(chosen, count), count)
    assert reduction.before == count
    assert torch.equal(reduction.undo(take(before, chosen)), before)
    changed = reduction.undo(after := draw_values(chosen.shape[1], 4))
    assert torch.equal(take(changed, chosen), after)
    assert torch.equal(take(changed, complement(chosen, count)), take(before, complement(chosen, count)))


@given(choices())
def test_merged_patches_get_exactly_the_value_of_their_token(choice) -> None:
    count, _ = choice
    index = torch.randint(count, (BATCH, count + 3))
    for trailing in ((), (4,), (2, 3)):
        values = draw_values(count, *trailing)
        undone = Merged("merge", index).undo(values)
        for image, patch in torch.cartesian_prod(torch.arange(BATCH), torch.arange(count + 3)).tolist():
            assert torch.equal(undone[image, patch], values[image, index[image, patch]])


@given(choices())
def test_finished_patches_speak_by_the_head_and_the_others_by_the_decoder(choice) -> None:
    count, chosen = choice
    said, decoded = draw_values(count, 4, 5), draw_values(chosen.shape[1], 4, 5)
    undone = Finished("token-exit", said, rows_of(chosen, count), count).undo(decoded)
    others = complement(chosen, count)
    assert_close(take(undone, chosen), decoded.log_softmax(dim=-1))
    assert_close(take(undone, others), take(said, others).log_softmax(dim=-1))
    assert_close(undone.exp().sum(dim=-1), torch.ones(BATCH, count, 4, dtype=torch.float64))


def test_images_that_left_speak_by_the_head() -> None:
    said, decoded = draw_values(6, 4, 5), draw_values(6, 4, 5)[:2]
    undone = Left("adaptive-exit", said, torch.tensor([2, 0])).undo(decoded)
    assert torch.equal(undone, torch.stack([decoded[1], said[1], decoded[0]]))


def fresh_state(prefix: int = 0) -> State:
    return State(heads=ModuleDict(), prefix=prefix, grid=(1, 100))


def reduced(*steps: tuple[str, int]) -> State:
    """A state whose strategies, one after the other, found so many patches running."""
    reductions = tuple(Merged(name, torch.zeros(1, before, dtype=torch.long)) for name, before in steps)
    state = fresh_state()
    state.reductions = reductions
    return state


EVEN = Schedule.parse("2:0.1+4:0.1+6:0.1")


def test_fractions_are_of_what_a_strategy_received() -> None:
    assert reduced().left_by("a", EVEN, 2, 100) == 90
    assert reduced(("a", 100), ("a", 90)).left_by("a", EVEN, 6, 80) == 70
    assert reduced(("b", 100)).left_by("a", EVEN, 2, 50) == 45
    assert reduced(("b", 100), ("a", 50), ("a", 45)).left_by("a", EVEN, 6, 40) == 35


def test_what_others_take_in_between_comes_off_beside() -> None:
    assert reduced(("a", 100), ("b", 90)).left_by("a", EVEN, 4, 60) == 50
    assert reduced(("a", 100), ("b", 90), ("b", 80), ("a", 60), ("b", 50)).left_by("a", EVEN, 6, 45) == 35


def test_one_patch_always_goes_on_and_no_more_than_run() -> None:
    assert reduced(("a", 100), ("b", 90)).left_by("a", EVEN, 4, 5) == 1
    assert reduced(("a", 100)).left_by("a", EVEN, 4, 60) == 60  # more is gone than was asked for


@given(st.lists(st.integers(1, 400), min_size=1, max_size=4), st.integers(1, 1000))
def test_alone_a_strategy_leaves_what_its_schedule_says(shares, patches) -> None:
    schedule = Schedule.parse("+".join(f"{block}:{share / 2000}" for block, share in enumerate(shares, start=1)))
    steps, running = [], patches
    for block in schedule.blocks:
        left = reduced(*steps).left_by("a", schedule, block, running)
        assert left == schedule.running(patches)[block]
        steps.append(("a", running))
        running = left


def test_selecting_keeps_the_prefix_and_forgets_what_heads_said() -> None:
    state = fresh_state(prefix=2)
    state.said, state.sizes = ((3, torch.zeros(1)),), torch.arange(5.0).expand(BATCH, -1)
    tokens, chosen = draw_values(7, 4), torch.tensor([[4, 0], [1, 2], [3, 3]])
    kept = state.select(tokens, chosen, "pause")
    assert torch.equal(kept[:, :2], tokens[:, :2])
    assert torch.equal(kept[:, 2:], take(tokens[:, 2:], chosen))
    assert torch.equal(state.sizes, chosen.double().float())
    assert state.said == ()


def test_a_fork_leaves_its_original_alone() -> None:
    state = fresh_state()
    state.macs = torch.zeros(2, dtype=torch.float64)
    fork = state.fork()
    fork.charge(lambda: 7.0)
    tokens = draw_values(4, 2)
    fork.select(tokens, torch.zeros(BATCH, 1, dtype=torch.long), "a")
    assert state.macs.tolist() == [0, 0]
    assert fork.macs.tolist() == [7, 7]
    assert state.reductions == ()


def test_only_images_that_still_run_are_charged_and_nothing_is_computed_where_nobody_counts() -> None:
    state = fresh_state()
    state.charge(lambda: 1 / 0)
    state.macs = torch.zeros(3, dtype=torch.float64)
    tokens = draw_values(4, 2)
    state.charge(lambda: 1.0)
    tokens = state.leave(tokens, torch.tensor([0, 2]), Left("a", tokens, torch.tensor([0, 2])))
    state.charge(lambda: 10.0)
    state.leave(tokens, torch.tensor([1]), Left("a", tokens, torch.tensor([1])))
    state.charge(lambda: 100.0)
    assert state.macs.tolist() == [11, 1, 111]
