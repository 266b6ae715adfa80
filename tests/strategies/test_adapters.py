"""Adapters: as what paused patches wait, and what heads say of it."""

import copy

import pytest
import torch
from operating_points import examples, pairs, strategy
from tiers import first
from torch.testing import assert_close

from paumer.measurement.counting import count
from paumer.models.heads import Adapter, cells_to_map
from paumer.strategies.registry import build_strategy, criteria_of, operating_point
from paumer.strategies.tokens import TokenPositions, scale_gradient

SINGLES = [point for point in examples() if point.criterion in ("", *criteria_of(point.strategy)[:1])]
POINTS = [*SINGLES, *pairs()]


def test_a_sweep_gives_what_each_gives_by_itself(adapting, images) -> None:
    strategies = [build_strategy(point) for point in POINTS if point.criterion != "random"]
    for point, output, item in zip(POINTS, adapting.sweep(images, strategies), strategies, strict=False):
        assert torch.allclose(output.logits, adapting.patch_logits(images, item), rtol=0, atol=1e-10), point


@pytest.mark.parametrize(
    "point",
    first([operating_point("pause", "smoothed", "3:0.2+6:0.2"), *(one for one in SINGLES if not one.varies)], 4),
    ids=str,
)
def test_what_is_counted_is_what_fvcore_counts(adapting, images, point) -> None:
    single = copy.deepcopy(adapting).float()
    item = build_strategy(point)
    [output] = single.sweep(images.float(), [item], count=True)
    assert output.macs.tolist() == pytest.approx([1e9 * count(single, (32, 64), item)["gmac_total"]] * 3)


@pytest.mark.parametrize("point", [p for p in POINTS if p.varies], ids=str)
def test_an_image_does_not_depend_on_its_batch(adapting, images, point) -> None:
    item = build_strategy(point)
    together = adapting(images, item)
    for number in range(len(images)):
        assert_close(adapting(images[number : number + 1], item)[0], together[number])


@pytest.fixture
def waiting(adapting):
    """A network whose blocks change nothing: what waits can be told from the input."""
    network = copy.deepcopy(adapting)
    for number in range(len(network.encoder.blocks)):
        network.encoder.blocks[number] = torch.nn.Identity()
    return network


def test_paused_patches_wait_as_their_adapter_makes_them(waiting, images) -> None:
    waiting.run_block = lambda number, tokens, *_: tokens
    tokens, state = waiting.encode(images, strategy("pause", "2:0.5"))
    embedded = waiting.encoder.embed(images)[:, waiting.encoder.prefix :]
    adapted = waiting.heads["2"].adapter(embedded, TokenPositions((4, 8), 3))
    [paused] = state.reductions
    assert torch.equal(paused.values, adapted)
    undone = paused.restore(state.patches_of(tokens)).flatten(0, 1)
    assert torch.equal(undone[paused.kept.rows], embedded.flatten(0, 1)[paused.kept.rows])


def test_an_adapter_sees_the_running_neighbours_alone(adapting) -> None:
    adapter = adapting.heads["2"].adapter
    patches = torch.randn(1, 4 * 8, 32, dtype=torch.float64)
    everywhere = TokenPositions((4, 8), 1)
    changed = patches.clone()
    changed[0, 9] = torch.randn(32)
    moved = (adapter(changed, everywhere) - adapter(patches, everywhere)).abs().sum(dim=-1)[0].nonzero().flatten()
    assert moved.tolist() == [0, 1, 2, 8, 9, 10, 16, 17, 18]
    some = torch.tensor([[0, 2, 9, 20]])
    lying = TokenPositions((4, 8), 1, torch.zeros(1, 1, dtype=torch.long), some)
    expected = patches[:, some[0]]
    for layer in adapter.layers:
        alone = torch.zeros_like(patches)
        alone[0, some[0]] = layer.norm(expected[0])
        around = layer.context(alone.transpose(1, 2).view(1, 32, 4, 8)).flatten(2).transpose(1, 2)[:, some[0]]
        expected = expected + layer.network(layer.norm(expected) + around)
    assert_close(adapter(patches[:, some[0]], lying), expected)


def test_each_layer_of_an_adapter_sees_further() -> None:
    adapter = Adapter(32, 8, 3, layers=2)
    for layer in adapter.layers:
        torch.nn.init.normal_(layer.network[-1].weight)
    patches = torch.randn(1, 5 * 7, 32)
    changed = patches.clone()
    changed[0, 17] = torch.randn(32)  # in the middle
    everywhere = TokenPositions((5, 7), 1)
    moved = (adapter(changed, everywhere) - adapter(patches, everywhere)).abs().sum(dim=-1).view(5, 7).nonzero()
    assert moved.tolist() == [[row, column] for row in range(5) for column in range(1, 6)]


def test_a_new_adapter_changes_nothing() -> None:
    patches = torch.randn(2, 12, 32)
    assert torch.equal(Adapter(32, 8, 3, layers=2)(patches, TokenPositions((3, 4), 2)), patches)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16], ids=str)
def test_in_bfloat16_a_processor_sees_neighbours_in_float32(kind) -> None:
    layer = Adapter(32, 8, 3).layers[0]
    torch.nn.init.normal_(layer.network[-1].weight)
    seen: list[torch.dtype] = []
    layer.context.register_forward_hook(lambda module, given, output: seen.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(torch.randn(2, 12, 32, dtype=kind), TokenPositions((3, 4), 2))
        assert layer.network[0](torch.randn(1, 32)).dtype == torch.bfloat16  # all else stays in bfloat16
    output.sum().backward()
    assert seen == [torch.float32] and layer.context.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_of_the_gradient_flows_back(share) -> None:
    values = torch.randn(3, requires_grad=True)
    scaled = scale_gradient(values, share)
    assert torch.equal(scaled, values)
    if scaled.requires_grad:
        scaled.sum().backward()
    assert_close(torch.zeros(3) if values.grad is None else values.grad, torch.full((3,), share))


def test_a_head_that_predicts_by_the_decoder_says_what_a_paused_patch_gets(sharing, images) -> None:
    pause = strategy("pause", "2:0.5")
    tokens, state = sharing.embed(images)
    for number in (1, 2):
        tokens = sharing.blocks[number - 1](tokens)
    said = cells_to_map(sharing.heads["2"](state.adapt(2, tokens)), state.grid)
    given, ran = sharing.patch_logits(images, pause), sharing.encode(images, pause)[1]
    running = ran.positions
    paused = torch.ones(3, 4 * 8, 1, 1).scatter(1, running[..., None, None], 0).expand(-1, -1, 4, said.shape[1])
    places = cells_to_map(paused, state.grid).bool()
    assert_close(given[places], said[places])
    assert places.float().mean() == 0.5


def test_a_head_that_predicts_by_the_decoder_has_no_weights_but_its_adapter(sharing) -> None:
    assert all(name.startswith("adapter.") for name, _ in sharing.heads["2"].named_parameters())
    copied = copy.deepcopy(sharing)
    assert copied.heads["2"].network[0] is copied.encoder
    assert copied.heads["2"].network[1] is copied.decoder
