"""GMAC: against publications, a closed form, and torch's own counter."""

import pandas as pd
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from paumer.config import Backbone, Decoder, Heads, Sweep
from paumer.measurement.flops import count, flops
from paumer.schedule import Schedule
from paumer.stages import CostSettings
from paumer.strategies.contract import Dense
from paumer.strategies.early_exit import EarlyExit
from paumer.strategies.pause import Pause

MASK = Decoder(name="mask_transformer")
SIZE = (32, 64)
PATCHES, WIDTH, DEPTH, CLASSES = 4 * 8, 32, 6, 19
LINEAR = Decoder(sub_patch=2)


def pause(text: str) -> Pause:
    return Pause(Schedule.parse(text))


POINTS = [Dense(), pause("2:0.4"), pause("2:0.2+4:0.3"), EarlyExit(2), EarlyExit(4)]
NAMES = [f"{point.name} {point.schedule_text}" for point in POINTS]


@pytest.mark.parametrize(
    ("name", "size", "classes", "published"),
    [("tiny", 512, 150, 12.8), ("tiny", 768, 19, 43.5), ("small", 512, 150, 38.6), ("base", 512, 150, 129.6)],
)
def test_dense_segmenter_costs_what_was_published(make, name, size, classes, published) -> None:
    model = make(f"vit_{name}_patch16_384", {}, MASK, heads=(), classes=classes, size=(size, size))
    gmac = count(model, (size, size), Dense())
    assert gmac["gmac_total"] == pytest.approx(published, rel=0.02)
    assert gmac["gmac_heads"] == 0


def block_cost(tokens: int) -> int:
    """Multiply-accumulates of a block: projections, attention and the perceptron of fourfold width."""
    return 4 * tokens * WIDTH**2 + 2 * tokens**2 * WIDTH + 8 * tokens * WIDTH**2


def closed_form(strategy, decoder: Decoder, prefix: int) -> dict[str, float]:
    """What a tiny network costs, in GMAC, by part."""
    cells = 4 if decoder.name == "linear" else 1
    schedule = strategy.schedule if isinstance(strategy, Pause) else Schedule()
    running, patches = schedule.running(PATCHES), PATCHES
    encoder, heads = PATCHES * 3 * 8 * 8 * WIDTH, 0
    for block in range(1, strategy.last_block(DEPTH) + 1):
        encoder += block_cost(prefix + patches)
        if block in running or (isinstance(strategy, EarlyExit) and block == strategy.block):
            heads += patches * WIDTH * CLASSES * cells
        patches = running.get(block, patches)
    if isinstance(strategy, EarlyExit):
        last = 0
    elif decoder.name == "linear":
        last = PATCHES * WIDTH * CLASSES * cells
    else:
        last = 2 * block_cost(PATCHES + CLASSES) + (2 * PATCHES + CLASSES) * WIDTH**2 + PATCHES * CLASSES * WIDTH
    parts = {"gmac_total": encoder + heads + last, "gmac_encoder": encoder, "gmac_decoder": last, "gmac_heads": heads}
    return {name: value / 1e9 for name, value in parts.items()}


@pytest.mark.parametrize("point", POINTS, ids=NAMES)
@pytest.mark.parametrize("decoder", [LINEAR, MASK], ids=["linear", "mask transformer"])
@pytest.mark.parametrize(
    ("architecture", "prefix"), [("vit_tiny_patch16_224", 1), ("vit_small_patch14_reg4_dinov2", 5)]
)
def test_count_is_the_closed_form(make, point, decoder, architecture, prefix) -> None:
    gmac = count(make(architecture, decoder=decoder), SIZE, point)
    assert gmac == pytest.approx(closed_form(point, decoder, prefix))


@pytest.mark.parametrize("point", POINTS, ids=NAMES)
@pytest.mark.parametrize("decoder", [LINEAR, MASK], ids=["linear", "mask transformer"])
def test_count_is_half_of_torchs(make, point, decoder) -> None:
    model = make(decoder=decoder)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, *SIZE), point)
    assert count(model, SIZE, point)["gmac_total"] == pytest.approx(counter.get_total_flops() / 2 / 1e9, rel=0.01)


def test_cost_falls_as_more_pauses_and_as_it_pauses_earlier(make) -> None:
    model = make()

    def total(text: str) -> float:
        return count(model, SIZE, pause(text))["gmac_encoder"]

    more = [total(f"2:{fraction}") for fraction in (0.1, 0.2, 0.4, 0.6, 0.9)]
    assert more == sorted(more, reverse=True)
    assert more[0] < count(model, SIZE, Dense())["gmac_encoder"]
    assert total("2:0.4") < total("4:0.4")
    assert total("2:0.4") < total("2:0.2+4:0.2") < total("2:0.2")


def test_sizes_that_are_no_multiple_of_the_patch_cost_what_their_padding_costs(make) -> None:
    model = make()
    assert count(model, (27, 60), pause("2:0.4")) == pytest.approx(count(model, SIZE, pause("2:0.4")))


def test_table_has_a_row_for_every_backbone_and_point(manifest, tmp_path) -> None:
    options = {"patch_size": 8, "embed_dim": 32, "depth": 6, "num_heads": 2}
    settings = CostSettings(
        backbones=[
            Backbone(name="narrow", architecture="vit_tiny_patch16_224", options=options),
            Backbone(name="wide", architecture="vit_tiny_patch16_224", options=options | {"embed_dim": 64}),
        ],
        decoder=LINEAR,
        heads=Heads(blocks=(2, 4)),
        sweep=Sweep(schedules=("2:0.4", "2:0.2+4:0.3"), criteria=("random",), exits=(4,)),
    )
    flops(settings, manifest, tmp_path / "flops.csv")
    table = pd.read_csv(tmp_path / "flops.csv")
    points = [("dense", "dense"), ("early-exit", "exit:4"), ("pause", "2:0.4"), ("pause", "2:0.2+4:0.3")]
    rows = list(zip(table["backbone"], table["strategy"], table["schedule"], strict=True))
    assert rows == [(name, *point) for name in ("narrow", "wide") for point in points]
    assert set(table["height"]) == {32}
    assert set(table["width"]) == {64}
    assert table["gmac_total"].iloc[3] == pytest.approx(closed_form(POINTS[2], LINEAR, 1)["gmac_total"], abs=1e-6)
    assert (table["gmac_heads"] > 0).tolist() == 2 * [False, True, True, True]
