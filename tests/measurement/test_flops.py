"""GMAC: against publications, a closed form, and torch's own counter."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from tiers import first

from paumer.config.measuring import SweepItem
from paumer.config.network import Backbone, Decoder, Heads
from paumer.config.runs import CostSettings
from paumer.measurement.counting import count
from paumer.measurement.flops import flops
from paumer.strategies.contract import Dense
from paumer.strategies.early_exit import EarlyExit, Exit
from paumer.strategies.merge import Merge
from paumer.strategies.notation import Schedule
from paumer.strategies.pause import Pause

MASK = Decoder(name="mask_transformer")
SIZE = (32, 64)
PATCHES, WIDTH, DEPTH, CLASSES = 4 * 8, 32, 6, 19
LINEAR = Decoder(sub_patch=2)
PUBLISHED = pd.read_csv(Path(__file__).parents[2] / "results/reference/published.csv")
COUNTED_AS_WE_DO = PUBLISHED[
    PUBLISHED["source"].isin(["G2TM RESULTS", "ALGM README"])
    & PUBLISHED["method"].eq("dense")
    & PUBLISHED["gmac"].notna()
].assign(classes=lambda rows: rows["dataset"].map({"ade20k": 150, "cityscapes": 19}))


def pause(text: str) -> Pause:
    return Pause(Schedule(text))


POINTS = [
    Dense(),
    pause("2:0.4"),
    pause("2:0.2+4:0.3"),
    EarlyExit(Exit(2)),
    EarlyExit(Exit(4)),
    Merge(Schedule("1-3:0.1")),
]
NAMES = [f"{point.name} {point.schedule_text}" for point in POINTS]


@pytest.mark.parametrize(
    ("architecture", "crop", "classes", "published"),
    first(
        [(*key, rows["gmac"].tolist()) for key, rows in COUNTED_AS_WE_DO.groupby(["backbone", "crop", "classes"])], 3
    ),
)
def test_dense_segmenter_costs_what_was_published(make, architecture, crop, classes, published) -> None:
    """Shapes alone decide it, so that large networks cost nothing here."""
    size = (int(crop), int(crop))
    with torch.device("meta"):
        model = make(architecture, {}, MASK, heads=(), classes=classes, size=size)
    [dense] = model.sweep(torch.zeros(1, 3, *size, device="meta"), [Dense()], count=True)
    assert published == pytest.approx(len(published) * [dense.macs.item() / 1e9], rel=0.02)


def block_cost(tokens: int, width: int = WIDTH, fed: int | None = None) -> int:
    """Multiply-accumulates of a block: projections, attention and the perceptron of fourfold width."""
    return 4 * tokens * width**2 + 2 * tokens**2 * width + 8 * (tokens if fed is None else fed) * width**2


def closed_form(strategy, decoder: Decoder, prefix: int) -> dict[str, float]:
    """What a tiny network costs, in GMAC, by part."""
    cells = 4 if decoder.name == "linear" else 1
    exit_block = strategy.parameters.block if isinstance(strategy, EarlyExit) else 0
    paused = strategy.parameters.running(PATCHES) if isinstance(strategy, Pause) else {}
    merged = strategy.parameters.running(PATCHES) if isinstance(strategy, Merge) else {}
    patches, encoder, heads = PATCHES, PATCHES * 3 * 8 * 8 * WIDTH, 0
    for block in range(1, strategy.last_block(DEPTH) + 1):
        if block in merged:  # halves of the patches are matched by their keys, the mean over 2 heads
            encoder += (patches - patches // 2) * (patches // 2) * (WIDTH // 2)
        fed = merged.get(block, patches)
        encoder += block_cost(prefix + patches, fed=prefix + fed)
        patches = fed
        if block in paused or block == exit_block:
            heads += patches * WIDTH * CLASSES * cells
        patches = paused.get(block, patches)
    if exit_block:
        last = 0
    elif decoder.name == "linear":
        last = PATCHES * WIDTH * CLASSES * cells
    else:
        last = 2 * block_cost(PATCHES + CLASSES) + (2 * PATCHES + CLASSES) * WIDTH**2 + PATCHES * CLASSES * WIDTH
    parts = {"gmac_total": encoder + heads + last, "gmac_encoder": encoder, "gmac_decoder": last, "gmac_heads": heads}
    return {name: value / 1e9 for name, value in parts.items()}


@pytest.mark.parametrize("point", POINTS, ids=NAMES)
@pytest.mark.parametrize(
    ("architecture", "prefix", "decoder"),
    first(
        [
            ("vit_small_patch14_reg4_dinov2", 5, MASK),
            ("vit_tiny_patch16_224", 1, LINEAR),
            ("vit_tiny_patch16_224", 1, MASK),
            ("deit_tiny_distilled_patch16_224", 2, LINEAR),
        ]
    ),
    ids=["registers", "linear", "mask transformer", "distilled"],
)
def test_count_is_the_closed_form(make, point, decoder, architecture, prefix) -> None:
    model = make(architecture, decoder=decoder)
    expected = closed_form(point, decoder, prefix)
    assert count(model, SIZE, point) == pytest.approx(expected)
    [output] = model.sweep(torch.zeros(1, 3, *SIZE), [point], count=True)
    assert output.macs.item() / 1e9 == pytest.approx(expected["gmac_total"])


def test_sizes_that_are_no_multiple_of_the_patch_cost_what_their_padding_costs(make) -> None:
    model = make()
    assert count(model, (27, 60), pause("2:0.4")) == pytest.approx(count(model, SIZE, pause("2:0.4")))


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False)


OPTIONS = {"patch_size": 8, "embed_dim": 32, "depth": 6, "num_heads": 2}


def test_table_has_a_row_for_every_backbone_and_point_of_fixed_cost(manifest, tmp_path) -> None:
    settings = CostSettings(
        backbones=[
            Backbone(name="narrow", architecture="vit_tiny_patch16_224", options=OPTIONS),
            Backbone(name="wide", architecture="vit_tiny_patch16_224", options=OPTIONS | {"embed_dim": 64}),
            Backbone(
                name="shallow", architecture="vit_tiny_patch16_224", options=OPTIONS | {"depth": 3}, control_for="wide"
            ),
        ],
        decoder=LINEAR,
        heads=Heads(blocks=(2, 4)),
        recipes=("dense", "multi-exit", "paumer"),
        sweep=(
            SweepItem(strategy="early-exit", schedules=("exit:4",)),
            SweepItem(strategy="pause", schedules=("2:0.4", "2:0.2+4:0.3"), criteria=("random", "entropy")),
            SweepItem(strategy="adaptive-exit", schedules=("2@0.9",)),
            SweepItem(strategy="token-exit", schedules=("2@0.9", "2:0.4")),
            SweepItem(strategy="local-merge", schedules=("1@0.9",)),
            SweepItem(strategy="merge", schedules=("1-3:0.1",)),
        ),
    )
    flops(settings, manifest, tmp_path / "flops.csv")
    table = read(tmp_path / "flops.csv")
    points = [
        *[("dense", "dense"), ("merge", "1-3:0.1"), ("early-exit", "exit:4"), ("token-exit", "2:0.4")],
        *[("pause", "2:0.4"), ("pause", "2:0.2+4:0.3")],
    ]
    rows = list(zip(table["backbone"], table["strategy"], table["schedule"], strict=True))
    expected = [(name, *point) for name in ("narrow", "wide") for point in points]
    assert rows == [*expected, ("wide", "smaller-backbone", "shallow")]
    assert set(table["height"]) == {32}
    assert set(table["width"]) == {64}
    assert table["gmac_total"].iloc[5] == pytest.approx(closed_form(POINTS[2], LINEAR, 1)["gmac_total"], abs=1e-6)
    heads = [False, False, True, True, True, True]
    assert (table["gmac_heads"] > 0).tolist() == [*heads, *heads, False]
    assert table["gmac_total"].iloc[-1] < table["gmac_total"].iloc[6]
    parts = table[["gmac_encoder", "gmac_decoder", "gmac_heads"]].sum(axis=1)
    assert parts.tolist() == pytest.approx(table["gmac_total"].tolist(), abs=3e-6)


def test_what_a_backbone_cannot_run_is_left_out_with_the_reason(manifest, tmp_path, capsys) -> None:
    parallel = Backbone(name="parallel", architecture="vit_small_patch16_18x2_224", options=OPTIONS)
    sweep = (SweepItem(strategy="merge", schedules=("1-3:0.1",)), SweepItem(strategy="pause", schedules=("2:0.4",)))
    settings = CostSettings(backbones=[parallel], heads=Heads(blocks=(2,)), recipes=("dense", "paumer"), sweep=sweep)
    flops(settings, manifest, tmp_path / "flops.csv")
    assert list(read(tmp_path / "flops.csv")["strategy"]) == ["dense", "pause"]
    assert "parallel: merge 1-3:0.1 left out: this needs blocks" in capsys.readouterr().out
