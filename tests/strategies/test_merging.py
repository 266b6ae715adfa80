"""Merging: who merges with whom, what a merged token is, and how it is undone."""

import copy
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from operating_points import restored, strategy
from tiers import examples
from torch.nn import ModuleDict, functional
from torch.testing import assert_close

from paumer.models.blocks import attend, feed_forward
from paumer.strategies.contract import Dense
from paumer.strategies.merge import LocalMerge, alike_squares, match, most_similar_pairs
from paumer.strategies.merged_tokens import merge
from paumer.strategies.notation import Schedule, Thresholds
from paumer.strategies.state import State

WIDTH = 6


def draw_values(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def fresh_state(patches: int, prefix: int = 0) -> State:
    return State(heads=ModuleDict(), prefix=prefix, grid=(1, patches))


def cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(functional.cosine_similarity(first, second, dim=-1))


@pytest.mark.parametrize("running", [2, 3, 8, 11])
def test_match_is_the_best_cosine_among_the_other_half(running) -> None:
    keys = draw_values(2, running, WIDTH)
    similarity, target = match(keys)
    assert similarity.shape == target.shape == (2, -(-running // 2))
    for image, (alike, best) in enumerate(zip(similarity, target, strict=True)):
        for number, patch in enumerate(range(0, running, 2)):
            each = {other: cosine(keys[image, patch], keys[image, other]) for other in range(1, running, 2)}
            assert int(best[number]) == max(each, key=each.__getitem__)
            assert float(alike[number]) == pytest.approx(max(each.values()))


def test_look_alikes_are_told_apart_under_autocast() -> None:
    """In bfloat16 all these keys are equally similar, and so are the squares."""
    keys = (1 + 0.02 * draw_values(2, 64, WIDTH)).float()
    plain = (*match(keys), *alike_squares(keys, (8, 8), 12, 0.0))
    assert len(plain[0].unique()) == plain[0].numel() > len(plain[0].bfloat16().unique())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = (*match(keys), *alike_squares(keys, (8, 8), 12, 0.0))
        halved = (*match(keys.bfloat16()), *alike_squares(keys.bfloat16(), (8, 8), 12, 0.0))
    kept = keys.bfloat16().float()
    exact = (*match(kept), *alike_squares(kept, (8, 8), 12, 0.0))
    for expected, found in zip(plain + exact, rounded + halved, strict=True):
        assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("count", [0, 1, 3, 6, 100])
def test_most_similar_pairs_are_the_top_ones(count) -> None:
    keys = draw_values(2, 11, WIDTH)
    similarity, target = match(keys)
    gone, goal = most_similar_pairs(keys, count, 0.0)
    assert gone.shape == goal.shape == (2, min(count, 6))
    for image in range(2):
        best = similarity[image].argsort(descending=True)[:count]
        pairs = set(zip(gone[image].tolist(), goal[image].tolist(), strict=True))
        assert pairs == {(2 * int(number), int(target[image, number])) for number in best}


@pytest.mark.parametrize("threshold", [-1.1, 0.2, 0.4, 1.1])
def test_pairs_above_a_threshold_are_exactly_those(threshold) -> None:
    keys = draw_values(1, 11, WIDTH)
    similarity, _ = match(keys)
    gone, _ = most_similar_pairs(keys, None, threshold)
    assert sorted(gone[0].tolist()) == [2 * n for n, alike in enumerate(similarity[0].tolist()) if alike > threshold]


def test_a_single_patch_has_no_partner() -> None:
    gone, goal = most_similar_pairs(draw_values(2, 1, WIDTH), 1, 0.0)
    assert gone.shape == goal.shape == (2, 0)


def square_similarities(patches, grid):
    """Upper left patch of every whole 2 x 2 square, and the mean cosine of its six pairs, spelled out."""
    found = {}
    for row in range(0, grid[0] - 1, 2):
        for column in range(0, grid[1] - 1, 2):
            corner = row * grid[1] + column
            members = [corner, corner + 1, corner + grid[1], corner + grid[1] + 1]
            pairs = [cosine(patches[a], patches[b]) for a, b in combinations(members, 2)]
            found[tuple(members)] = sum(pairs) / 6
    return found


GRIDS = [(4, 6), (5, 7), (2, 2), (1, 8), (6, 3)]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("count", [0, 4, 9, 1000])
def test_alike_squares_are_those_of_the_highest_mean_cosine(grid, count) -> None:
    patches = draw_values(2, grid[0] * grid[1], WIDTH)
    gone, goal = alike_squares(patches, grid, count, 0.0)
    for image in range(2):
        each = square_similarities(patches[image], grid)
        best = sorted(each, key=each.__getitem__, reverse=True)[: round(count / 3)]
        expected = {(other, members[0]) for members in best for other in members[1:]}
        assert set(zip(gone[image].tolist(), goal[image].tolist(), strict=True)) == expected
        assert gone.shape[1] == len(expected)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("threshold", [-1.1, 0.0, 0.1, 1.1])
def test_squares_above_a_threshold_are_exactly_those(grid, threshold) -> None:
    patches = draw_values(1, grid[0] * grid[1], WIDTH)
    gone, goal = alike_squares(patches, grid, None, threshold)
    each = square_similarities(patches[0], grid)
    expected = {(other, m[0]) for m, alike in each.items() if alike > threshold for other in m[1:]}
    assert set(zip(gone[0].tolist(), goal[0].tolist(), strict=True)) == expected


@st.composite
def merges(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """How many patches there are, and pairs (goes, into) where no patch that goes is gone into."""
    running = draw(st.integers(2, 12))
    order = draw(st.permutations(range(running)))
    count = draw(st.integers(0, running - 1))
    return running, [(patch, draw(st.sampled_from(order[count:]))) for patch in order[:count]]


def merge_pairs(tokens, pairs, state):
    gone, target = (torch.tensor([pair[side] for pair in pairs], dtype=torch.long)[None] for side in (0, 1))
    return merge(tokens, gone, target, state, "merge")


@given(merges(), st.integers(0, 2))
def test_a_merged_token_is_the_mean_of_its_patches_at_the_place_of_the_one_that_stays(merged, prefix) -> None:
    running, pairs = merged
    tokens, state = draw_values(1, prefix + running, WIDTH), fresh_state(running, prefix)
    state.side_tensors = {"labels": torch.arange(running, dtype=torch.float64)[None, :, None, None]}
    after = merge_pairs(tokens, pairs, state)
    assert torch.equal(after[:, :prefix], tokens[:, :prefix])
    goes = dict(pairs)
    stay = [patch for patch in range(running) if patch not in goes]
    groups = [[patch for patch in range(running) if goes.get(patch, patch) == home] for home in stay]
    expected = torch.stack([tokens[0, prefix:][group].mean(dim=0) for group in groups])
    assert_close(after[0, prefix:], expected)
    assert state.side_tensors["labels"][0, :, 0, 0].tolist() == [sum(group) for group in groups]
    if pairs:
        assert state.sizes[0].tolist() == [len(group) for group in groups]
        undone = state.reductions[-1].restore(after[:, prefix:])
        for token, group in enumerate(groups):
            assert all(torch.equal(undone[0, patch], after[0, prefix + token]) for patch in group)
    else:
        assert state.sizes is None


@settings(max_examples=examples(50))
@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 1)), min_size=1, max_size=4))
def test_merging_again_and_again_leaves_the_mean_of_the_original_patches(steps) -> None:
    patches = 16
    tokens, state = draw_values(2, patches, WIDTH), fresh_state(patches)
    original = tokens
    for seed, share in steps:
        keys = draw_values(2, tokens.shape[1], 3, seed=seed)
        gone, target = most_similar_pairs(keys, round(share * tokens.shape[1] / 2), 0.0)
        tokens = merge(tokens, gone, target, state, "merge")
    place = torch.arange(tokens.shape[1]).expand(2, -1)
    for reduction in reversed(state.reductions):
        place = reduction.restore(place)
    for image in range(2):
        for token in range(tokens.shape[1]):
            assert_close(tokens[image, token], original[image][place[image] == token].mean(dim=0))
            if state.sizes is not None:
                assert int(state.sizes[image, token]) == int((place[image] == token).sum())
    assert state.sizes is None or state.sizes.sum(dim=1).tolist() == [patches, patches]


# Patches that each of the 6 blocks feeds forward, of 32.
RUNNING = {
    ("merge", "1-5:0.1"): [29, 26, 22, 19, 16, 16],
    ("merge", "2:0.5"): [32, 16, 16, 16, 16, 16],
    ("local-merge", "1:0.4+4:0.2"): [20, 20, 20, 13, 13, 13],  # four squares, which is a patch less than asked for
    ("local-merge", "2:0.75"): [32, 8, 8, 8, 8, 8],
}
MERGES = list(RUNNING)


@pytest.mark.parametrize(("name", "text"), MERGES)
def test_blocks_attend_to_all_that_came_and_feed_what_is_left(model, images, name, text) -> None:
    attended, fed = [], []

    def count(counts):
        return lambda _, inputs: counts.append(inputs[0].shape[1] - model.encoder.prefix)

    hooks = [block.norm1.register_forward_pre_hook(count(attended)) for block in model.blocks]
    hooks += [block.norm2.register_forward_pre_hook(count(fed)) for block in model.blocks]
    model(images, strategy(name, text))
    for hook in hooks:
        hook.remove()
    assert fed == RUNNING[name, text]
    assert attended == [32, *fed[:-1]]


@pytest.mark.parametrize("text", ["1@1.01", "1@1.01+4@1.01"])
def test_nothing_above_the_threshold_is_dense(model, images, text) -> None:
    assert_close(model(images, strategy("local-merge", text)), model(images, Dense()), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["merge", "local-merge"])
def test_less_than_half_a_patch_is_dense(model, images, name) -> None:
    assert_close(model(images, strategy(name, "1:0.01")), model(images, Dense()), rtol=0, atol=1e-12)


def assert_merging_of_one_colour_is_dense(network, name, text) -> None:
    network = copy.deepcopy(network)
    with torch.no_grad():
        network.encoder.vit.pos_embed.zero_()
    image = torch.tensor([0.3, -1.0, 0.7], dtype=torch.float64)[None, :, None, None].expand(2, 3, 32, 64)
    assert_close(network(image, strategy(name, text)), network(image), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("name", "text"), [*MERGES, ("local-merge", "1@0.5+3@0.5")])
def test_merging_patches_that_do_not_differ_changes_nothing(model, masked, name, text) -> None:
    """Of an image of one colour, whose patches do not know where they lie, some stand for all."""
    assert_merging_of_one_colour_is_dense(model, name, text)
    assert_merging_of_one_colour_is_dense(masked, name, text)


def merge_one_image(model, image, schedule):
    """Merging of a single image, spelled out with lists of patches: final patches (patches, width)."""
    prefix = model.encoder.prefix
    tokens = model.encoder.embed(image[None])
    groups = [[patch] for patch in range(32)]
    shares, merged = {location.block: location.fraction for location in schedule.locations}, 0.0
    for number, block in enumerate(model.encoder.blocks, start=1):
        sizes = torch.tensor([1] * prefix + [len(group) for group in groups], dtype=torch.float64)
        tokens, keys = attend(block, tokens, sizes.log()[None, None, None])
        if number in shares:
            merged += shares[number]
            away = len(groups) - (32 - round(merged * 32))
            unit = functional.normalize(keys.mean(dim=1)[0, prefix:], dim=-1)
            best = {
                even: max(range(1, len(groups), 2), key=lambda odd, even=even: float(unit[even] @ unit[odd]))
                for even in range(0, len(groups), 2)
            }
            chosen = sorted(best, key=lambda even: float(unit[even] @ unit[best[even]]), reverse=True)[:away]
            patches = {number: tokens[0, prefix + number] * len(group) for number, group in enumerate(groups)}
            for even in chosen:
                patches[best[even]] = patches[best[even]] + patches.pop(even)
                groups[best[even]] = groups[best[even]] + groups[even]
            groups = [groups[number] for number in sorted(patches)]
            values = [patches[number] for number in sorted(patches)]
            mean = [value / len(group) for value, group in zip(values, groups, strict=True)]
            tokens = torch.cat([tokens[:, :prefix], torch.stack(mean)[None]], dim=1)
        tokens = feed_forward(block, tokens)
    final = torch.empty(32, tokens.shape[-1], dtype=torch.float64)
    for token, group in enumerate(groups):
        final[group] = tokens[0, prefix + token]
    return final


@pytest.mark.parametrize("text", ["1:0.3", "1-3:0.1", "2:0.5+3:0.2+5:0.1"])
def test_merging_is_what_it_is_spelled_out_for_one_image(model, images, text) -> None:
    patches = restored(*model.encode(images, strategy("merge", text)))
    for image, final in zip(images, patches, strict=True):
        assert_close(final, merge_one_image(model, image, Schedule(text)))


@pytest.mark.parametrize("value", [-1.1, 0.0, 0.1, 0.9])
def test_a_threshold_merges_what_as_many_by_fraction_would(plain, images, value) -> None:
    """A threshold that so many squares exceed is the fraction that so many squares are."""
    image = images[:1]
    _, state = plain.encode(image, LocalMerge(Thresholds(((2, value),))))
    away = 32 - int(state.sizes.shape[1]) if state.sizes is not None else 0
    assert away % 3 == 0
    text = f"2:{away / 32:.4f}" if away else "dense"
    assert_close(plain(image, LocalMerge(Thresholds(((2, value),)))), plain(image, LocalMerge(Schedule(text))))


def test_rounding_to_whole_squares_is_made_good_later_and_never_undone() -> None:
    """1:0.35 of 32 asks for 11 and takes 12; 2:0.001 then has nothing left to take."""
    state, schedule = fresh_state(32), Schedule("1:0.35+2:0.001+3:0.1")
    step = LocalMerge(schedule)
    tokens = draw_values(2, 32, WIDTH)
    state.grid, counts = (4, 8), []
    for block in (1, 2, 3):
        tokens = step.within(block, tokens, tokens, state)
        counts.append(tokens.shape[1])
    assert counts == [20, 20, 32 - round(0.451 * 32)]


def test_a_threshold_in_deviations_is_that_of_the_images_own_similarities(plain, images) -> None:
    tokens = plain.encoder.embed(images[:1])[:, 1:]
    each = torch.tensor(list(square_similarities(tokens[0], (4, 8)).values()))
    for deviations in (0.0, 0.5, 1.0, 9.0):
        limit = float(each.mean() + deviations * each.std(correction=0))
        relative = alike_squares(tokens, (4, 8), None, deviations, relative=True)
        for found, expected in zip(relative, alike_squares(tokens, (4, 8), None, limit), strict=True):
            assert torch.equal(found.sort().values, expected.sort().values)
    similarity = match(tokens)[0]
    limit = float(similarity.mean() + similarity.std(correction=0))
    assert most_similar_pairs(tokens, None, 1.0, relative=True)[0].shape[1] == int((similarity > limit).sum()) > 0


def test_unweighted_tokens_attend_as_one_patch(plain, images) -> None:
    """Spelled out: after merging in block 1 the other blocks run as they are."""
    block, merging = plain.blocks[0], strategy("merge", "1:0.25 unweighted")
    tokens, state = plain.embed(images)
    tokens, keys = attend(block, tokens, None)
    tokens = plain.blocks[1:](feed_forward(block, merging.within(1, tokens, keys.mean(dim=1), state)))
    assert torch.equal(plain.encode(images, merging)[0], tokens)
    assert not torch.allclose(plain(images, merging), plain(images, strategy("merge", "1:0.25")))
