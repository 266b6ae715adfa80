"""Reductions undo themselves, and the state counts what each strategy has left."""

from types import SimpleNamespace

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import ModuleDict
from torch.testing import assert_close

from paumer.strategies.early_exit import ExitedImages
from paumer.strategies.merged_tokens import MergedTokens
from paumer.strategies.notation import Schedule
from paumer.strategies.reductions import PausedTokens, Selection
from paumer.strategies.state import State
from paumer.strategies.token_exit import ExitedTokens
from paumer.strategies.tokens import complement, gather_rows

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


def kept_of(chosen: torch.Tensor, count: int) -> Selection:
    return fresh_state().keep(torch.zeros(BATCH, count, 1), chosen)


@given(choices())
def test_paused_patches_stay_as_they_are_and_the_others_come_back(choice) -> None:
    count, chosen = choice
    before = draw_values(count, 4)
    reduction = PausedTokens("pause", kept_of(chosen, count), before)
    assert reduction.before == count
    assert torch.equal(reduction.reduce(before), gather_rows(before, chosen))
    assert torch.equal(reduction.restore(reduction.reduce(before)), before)
    changed = reduction.restore(after := draw_values(chosen.shape[1], 4))
    assert torch.equal(reduction.reduce(changed), after)
    others = complement(chosen, count)
    assert torch.equal(gather_rows(changed, others), gather_rows(before, others))


@given(choices(least=1))
def test_merged_patches_get_exactly_the_value_of_their_token(choice) -> None:
    count, chosen = choice
    others = complement(chosen, count)
    partner = chosen[:, :1].expand(-1, others.shape[1])
    reduction = MergedTokens.of("merge", others, partner, torch.ones(BATCH, count))
    for trailing in ((), (4,), (2, 3)):
        values = draw_values(chosen.shape[1], *trailing)
        restored = reduction.restore(values)
        stay = chosen.sort(dim=1)
        assert torch.equal(gather_rows(restored, stay.values), values)
        first = (stay.values == chosen[:, :1]).nonzero()[:, 1]
        for image in range(BATCH):
            assert all(torch.equal(restored[image, patch], values[image, first[image]]) for patch in others[image])


@given(choices())
def test_finished_patches_take_the_heads_logits_and_the_others_the_decoders(choice) -> None:
    count, chosen = choice
    predicted, decoded = draw_values(count, 4, 5), draw_values(chosen.shape[1], 4, 5)
    restored = ExitedTokens("token-exit", kept_of(chosen, count), predicted).restore(decoded)
    others = complement(chosen, count)
    assert_close(gather_rows(restored, chosen), decoded.log_softmax(dim=-1))
    assert_close(gather_rows(restored, others), gather_rows(predicted, others).log_softmax(dim=-1))
    assert_close(restored.exp().sum(dim=-1), torch.ones(BATCH, count, 4, dtype=torch.float64))


def test_a_single_logit_is_taken_as_it_is() -> None:
    predicted, decoded = draw_values(6, 4, 1), draw_values(2, 4, 1)
    chosen = torch.tensor([[4, 0], [1, 2], [3, 5]])
    restored = ExitedTokens("token-exit", kept_of(chosen, 6), predicted).restore(decoded)
    assert torch.equal(gather_rows(restored, chosen), decoded)
    assert torch.equal(gather_rows(restored, complement(chosen, 6)), gather_rows(predicted, complement(chosen, 6)))


def test_images_that_left_take_the_heads_logits() -> None:
    predicted, decoded = draw_values(6, 4, 5), draw_values(6, 4, 5)[:2]
    restored = ExitedImages("adaptive-exit", predicted, torch.tensor([2, 0])).restore(decoded)
    assert torch.equal(restored, torch.stack([decoded[1], predicted[1], decoded[0]]))


def fresh_state(prefix: int = 0) -> State:
    return State(heads=ModuleDict(), prefix=prefix, grid=(1, 100))


def reduced(*steps: tuple[str, int]) -> State:
    """A state with reductions of these strategies, each at this number of running patches."""
    state = fresh_state()
    state.reductions = tuple(SimpleNamespace(by=name, before=before) for name, before in steps)
    return state


EVEN = Schedule("2:0.1+4:0.1+6:0.1")


def test_fractions_are_of_what_a_strategy_received() -> None:
    assert reduced().num_kept("a", EVEN, 2, 100) == 90
    assert reduced(("a", 100), ("a", 90)).num_kept("a", EVEN, 6, 80) == 70
    assert reduced(("b", 100)).num_kept("a", EVEN, 2, 50) == 45
    assert reduced(("b", 100), ("a", 50), ("a", 45)).num_kept("a", EVEN, 6, 40) == 35


def test_what_others_take_in_between_comes_off_beside() -> None:
    assert reduced(("a", 100), ("b", 90)).num_kept("a", EVEN, 4, 60) == 50
    assert reduced(("a", 100), ("b", 90), ("b", 80), ("a", 60), ("b", 50)).num_kept("a", EVEN, 6, 45) == 35


def test_one_patch_always_goes_on_and_no_more_than_run() -> None:
    assert reduced(("a", 100), ("b", 90)).num_kept("a", EVEN, 4, 5) == 1
    assert reduced(("a", 100)).num_kept("a", EVEN, 4, 60) == 60  # more is gone than was asked for


@given(st.lists(st.integers(1, 400), min_size=1, max_size=4), st.integers(1, 1000))
def test_alone_a_strategy_leaves_what_its_schedule_says(shares, patches) -> None:
    schedule = Schedule("+".join(f"{block}:{share / 2000}" for block, share in enumerate(shares, start=1)))
    steps, running = [], patches
    for block in schedule.blocks:
        left = reduced(*steps).num_kept("a", schedule, block, running)
        assert left == schedule.running(patches)[block]
        steps.append(("a", running))
        running = left


def paused(state: State, tokens: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    reduction = PausedTokens("pause", state.keep(tokens, chosen), state.patches_of(tokens))
    return state.apply(reduction, tokens)


def test_a_reduction_keeps_the_prefix_and_forgets_predictions() -> None:
    state = fresh_state(prefix=2)
    state.predictions, state.sizes = {3: torch.zeros(1)}, torch.arange(5.0).expand(BATCH, -1)
    tokens, chosen = draw_values(7, 4), torch.tensor([[4, 0], [1, 2], [3, 3]])
    kept = paused(state, tokens, chosen)
    assert torch.equal(kept[:, :2], tokens[:, :2])
    assert torch.equal(kept[:, 2:], gather_rows(tokens[:, 2:], chosen))
    assert torch.equal(state.sizes, chosen.double().float())
    assert state.predictions == {}


def test_a_fork_leaves_its_original_alone() -> None:
    state = fresh_state()
    state.macs = torch.zeros(2, dtype=torch.float64)
    fork = state.fork()
    fork.add_macs(lambda: 7.0)
    paused(fork, draw_values(4, 2), torch.zeros(BATCH, 1, dtype=torch.long))
    assert state.macs.tolist() == [0, 0]
    assert fork.macs.tolist() == [7, 7]
    assert state.reductions == ()


def test_macs_are_added_to_images_that_run_and_only_computed_where_they_are_counted() -> None:
    state = fresh_state()
    state.add_macs(lambda: 1 / 0)
    state.macs = torch.zeros(3, dtype=torch.float64)
    tokens = draw_values(4, 2)
    state.add_macs(lambda: 1.0)
    tokens = state.apply(ExitedImages("a", tokens, torch.tensor([0, 2])), tokens)
    state.add_macs(lambda: 10.0)
    state.apply(ExitedImages("a", tokens, torch.tensor([1])), tokens)
    state.add_macs(lambda: 100.0)
    assert state.macs.tolist() == [11, 1, 111]
