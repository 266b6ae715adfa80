"""Drop-in use: any plain timm ViT with any dense head, unchanged where nothing pauses, and cheaper where patches do."""

import re
import warnings
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from tiers import first
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

import paumer
from paumer.config.measuring import Evaluation
from paumer.models.inference import predict
from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Dense
from paumer.strategies.registry import read_point
from paumer.system.errors import PaumerError

WIDTH, DEPTH, CLASSES = 32, 6, 5
TINY = {"patch_size": 8, "embed_dim": WIDTH, "depth": DEPTH, "num_heads": 2, "img_size": (32, 48)}
VITS = {
    "class token": ("vit_tiny_patch16_224", {}),
    "distilled": ("deit_tiny_distilled_patch16_224", {}),
    "registers and LayerScale": ("vit_small_patch14_reg4_dinov2", {}),
    "average pooling, no prefix": ("vit_tiny_patch16_224", {"class_token": False, "global_pool": "avg"}),
    "norm before the blocks": ("vit_base_patch16_clip_224", {}),
    "rotary and registers": ("vit_small_patch16_dinov3", {}),
    "rotary and position embeddings": ("eva02_tiny_patch14_224", {}),
    "without classifier": ("vit_tiny_patch16_224", {"num_classes": 0}),
}
PAGE = (Path(__file__).parents[2] / "docs/drop-in.md").read_text(encoding="utf-8")


def stir(module: nn.Module) -> nn.Module:
    """Move all weights away from their start, so that every part matters."""
    with torch.no_grad():
        for value in module.parameters():
            value += 0.2 * torch.randn_like(value)
    return module


def make_vit(kind: str = "class token", **options) -> nn.Module:
    torch.manual_seed(0)
    name, own = VITS[kind]
    return stir(timm.create_model(name, **{"dynamic_img_size": True, **TINY, **own, **options})).double().eval()


@pytest.fixture(params=VITS)
def vit(request) -> nn.Module:
    return make_vit(request.param)


@pytest.fixture
def plain() -> nn.Module:
    return make_vit()


@pytest.fixture
def head() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 16), nn.GELU(), nn.Linear(16, CLASSES)).double()


@pytest.fixture
def map_head() -> nn.Module:
    """A head with statistics that gives logits at four times the grid."""
    layers = [
        nn.Conv2d(WIDTH, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.Upsample(scale_factor=4),
        nn.Conv2d(8, CLASSES, 1),
    ]
    return nn.Sequential(*layers).double().eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 32, 48, dtype=torch.float64)


def patches_of(vit: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return vit.forward_features(images)[:, vit.num_prefix_tokens :]


def as_map(tokens: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return tokens.transpose(1, 2).unflatten(2, (images.shape[2] // 8, images.shape[3] // 8))


def upsampled(logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(logits, images.shape[2:], mode="bilinear")


def patches_seen(vit: nn.Module, model: nn.Module, images: torch.Tensor) -> list[int]:
    """How many patches each block of the original ViT gets while the wrapped network runs."""
    seen: list[int] = []
    hooks = [
        block.norm1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1])) for block in vit.blocks
    ]
    model(images)
    for hook in hooks:
        hook.remove()
    return [count - vit.num_prefix_tokens for count in seen]


@pytest.mark.parametrize(("size", "schedule"), [((32, 48), "dense"), ((40, 24), "")])
def test_dense_is_what_timm_the_head_and_upsampling_give(vit, head, size, schedule) -> None:
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    expected = upsampled(as_map(head(patches_of(vit, images)), images), images)
    assert_close(paumer.wrap(vit, head, schedule)(images), expected, rtol=0, atol=1e-10)


def test_dense_with_a_head_of_maps_is_what_timm_and_the_head_give(vit, map_head, images) -> None:
    expected = upsampled(map_head(as_map(patches_of(vit, images), images)), images)
    assert_close(paumer.wrap(vit, map_head, "dense", layout="map")(images), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", [(32, 48), (40, 24)])
@pytest.mark.parametrize("kind", ["class token", "rotary and registers", "rotary and position embeddings"])
def test_vit_built_for_one_size_takes_any(head, size, kind) -> None:
    fixed, free = make_vit(kind, dynamic_img_size=False), make_vit(kind)
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    assert torch.equal(paumer.wrap(fixed, head, "3:0.4")(images), paumer.wrap(free, head, "3:0.4")(images))
    assert fixed.patch_embed.strict_img_size
    fixed(torch.randn(1, 3, 32, 48, dtype=torch.float64))


def test_fewer_tokens_run_after_the_block(vit, head, images) -> None:
    assert patches_seen(vit, paumer.wrap(vit, head, "2:0.25+4:0.5"), images) == [24, 24, 18, 18, 6, 6]


def test_the_most_certain_patches_of_the_final_norm_and_head_pause(plain, head, images) -> None:
    model = paumer.wrap(plain, head, "2:0.5")
    _, state = model.encode(images, model.strategy)
    [patches] = plain.forward_intermediates(images, [1], norm=True, output_fmt="NLC", intermediates_only=True)
    probabilities = head(patches).softmax(-1)
    entropy = -(probabilities * probabilities.log()).sum(-1)
    assert torch.equal(state.positions.sort().values, entropy.topk(12).indices.sort().values)


def test_auxiliary_heads_choose_where_there_are_any(plain, head, images) -> None:
    class Count(nn.Linear):
        calls = 0

        def forward(self, patches: torch.Tensor) -> torch.Tensor:
            Count.calls += 1
            return super().forward(patches)

    auxiliary = {2: Count(WIDTH, CLASSES).double()}
    model = paumer.wrap(plain, head, "2:0.5", auxiliary=auxiliary)
    Count.calls = 0
    model(images)
    assert Count.calls == 1
    other = paumer.wrap(plain, head, "2:0.5")
    assert not torch.equal(model(images), other(images))
    assert torch.equal(model.with_schedule("4:0.5")(images), other.with_schedule("4:0.5")(images))


def test_another_schedule_is_another_budget_of_the_same_weights(plain, head, images) -> None:
    model = paumer.wrap(plain, head, "2:0.25")
    before = model(images)
    heavier = model.with_schedule("2:0.5")
    assert patches_seen(plain, heavier, images) == [24, 24, 12, 12, 12, 12]
    assert torch.equal(model(images), before)
    assert torch.equal(model(images, heavier.strategy), heavier(images))
    assert {id(value) for value in heavier.parameters()} == {id(value) for value in model.parameters()}
    model.strategy = Dense()
    assert torch.equal(model(images), heavier.with_schedule("dense")(images))


def test_another_schedule_keeps_strategy_and_criterion(plain, head) -> None:
    model = paumer.wrap(plain, head, "dense", strategy="merge>pause", criterion="margin")
    pointed = model.with_schedule("1-2:0.1>3:0.4").strategy
    assert (pointed.name, pointed.criterion_name, pointed.schedule_text) == (
        "merge>pause",
        "margin",
        "1:0.1+2:0.1>3:0.4",
    )
    assert model.with_schedule("3:0.4", strategy="pause").strategy.criterion_name == "entropy"
    assert model.with_schedule("1:0.1>3:0.4", criterion="random").strategy.criterion_name == "random"


@pytest.mark.parametrize(
    ("strategy", "schedule", "seen"),
    [
        ("merge", "1-3:0.25", [24, 18, 12, 6, 6, 6]),
        ("merge>pause", "1:0.25>3:0.5", [24, 18, 18, 9, 9, 9]),
        ("local-merge", "1:0.25", [24, 18, 18, 18, 18, 18]),
        ("early-exit", "exit:4", [24, 24, 24, 24]),
        ("token-exit", "2:0.25 keep 1", [24, 24, 18, 18, 18, 18]),
        ("resize", "scale:0.5", [6] * 6),
    ],
)
def test_every_strategy_runs(vit, head, images, strategy, schedule, seen) -> None:
    model = paumer.wrap(vit, head, schedule, strategy=strategy)
    assert patches_seen(vit, model, images) == seen
    assert model(images).shape == (2, CLASSES, 32, 48)
    assert model(images).isfinite().all()


def test_adaptive_exit_leaves_through_the_head(plain, head, images) -> None:
    model = paumer.wrap(plain, head, "2@0+4@0", strategy="adaptive-exit")
    assert patches_seen(plain, model, images) == [24, 24]
    assert torch.equal(model(images), model.with_schedule("exit:2", strategy="early-exit")(images))


def test_head_of_maps_sees_every_patch_at_its_place(plain, map_head, images) -> None:
    model = paumer.wrap(plain, map_head, "2:0.5", layout="map", criterion="random")
    maps: list[torch.Tensor] = []
    map_head.register_forward_pre_hook(lambda _, inputs: maps.append(inputs[0]))
    assert patches_seen(plain, model, images) == [24, 24, 12, 12, 12, 12]
    [patches] = plain.forward_intermediates(images, [1], norm=True, output_fmt="NLC", intermediates_only=True)
    waited = (maps[0] - as_map(patches, images)).abs().amax(dim=1) < 1e-12
    assert waited.sum(dim=(1, 2)).tolist() == [12, 12]


def test_head_of_maps_with_auxiliary_heads_and_with_merging(plain, map_head, images) -> None:
    auxiliary = {2: nn.Linear(WIDTH, CLASSES).double()}
    model = paumer.wrap(plain, map_head, "2:0.5", layout="map", auxiliary=auxiliary)
    assert patches_seen(plain, model, images) == [24, 24, 12, 12, 12, 12]
    merging = model.with_schedule("1-3:0.25", strategy="merge")
    assert patches_seen(plain, merging, images) == [24, 18, 12, 6, 6, 6]
    assert merging(images).shape == (2, CLASSES, 32, 48)


BINARY = [
    "pause 2:0.5",
    "pause 2@0.5",
    "token-exit 2:0.25",
    "token-exit 2@0.6",
    "adaptive-exit 2@0.6",
    "early-exit exit:3",
]


@pytest.mark.parametrize("text", BINARY)
@pytest.mark.parametrize("layout", ["tokens", "map"])
def test_a_head_of_one_logit_is_one_of_two_classes(plain, images, text, layout) -> None:
    """The same patches pause, and the same classes come out, as with a second logit that is always 0."""
    point = read_point(text)
    if layout == "map" and point.strategy != "pause":
        return
    single = (nn.Linear(WIDTH, 1) if layout == "tokens" else nn.Conv2d(WIDTH, 1, 1)).double()
    both = (nn.Linear(WIDTH, 2) if layout == "tokens" else nn.Conv2d(WIDTH, 2, 1)).double()
    auxiliary = [nn.Linear(WIDTH, 1).double(), nn.Linear(WIDTH, 2).double()]
    with torch.no_grad():
        for one, two in ((single, both), auxiliary):
            two.weight[:1], two.bias[:1] = 0, 0
            two.weight[1:], two.bias[1:] = one.weight, one.bias
    options = {"strategy": point.strategy, "layout": layout}
    one = paumer.wrap(plain, single, point.schedule, auxiliary={2: auxiliary[0]}, **options)
    two = paumer.wrap(plain, both, point.schedule, auxiliary={2: auxiliary[1]}, **options)
    assert (one.classes, two.classes) == (2, 2)
    logits, pairs = one(images), two(images)
    assert_close(logits[:, 0], pairs[:, 1] - pairs[:, 0])
    assert torch.equal(one.predict_labels(images), pairs.argmax(dim=1))
    assert torch.equal(one.predict_labels(images), (logits[:, 0] > 0).long())
    for settings in (
        Evaluation(),
        Evaluation(flip=True),
        Evaluation(inference="sliding", window=(16, 24), stride=(8, 8)),
    ):
        [(_, found)] = predict(one, images, [one.strategy], settings)
        [(_, expected)] = predict(two, images, [two.strategy], settings)
        assert (found.classes == expected.classes).double().mean() > 0.999


def test_vit_and_heads_stay_as_they_are(head, map_head, images) -> None:
    vit = make_vit(dynamic_img_size=False)
    map_head.train()
    described = [(repr(module), deepcopy(module.state_dict())) for module in (vit, map_head)]
    attributes = {**vit.__dict__}
    model = paumer.wrap(vit, map_head, "2:0.5", layout="map", criterion="random")
    assert vit.__dict__ == attributes
    for module, (text, weights) in zip((vit, map_head), described, strict=True):
        assert repr(module) == text
        assert_close(module.state_dict(), weights)
    assert not model.training
    assert not vit.training
    assert map_head.training
    assert all(module.training for module in map_head)
    assert paumer.wrap(vit.train(), head, "2:0.5").training


def test_it_is_an_ordinary_module_without_copies(plain, head, images) -> None:
    auxiliary = nn.Linear(WIDTH, CLASSES).double()
    model = paumer.wrap(plain, head, "2:0.5", auxiliary={3: auxiliary})
    own = [*plain.parameters(), *head.parameters(), *auxiliary.parameters()]
    assert [id(value) for value in model.parameters()] == [id(value) for value in own]
    assert len(model.state_dict()) == len(own)
    twin = deepcopy(model)
    stir(twin)
    assert not torch.equal(twin(images), model(images))
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin(images), model(images))
    half = model.to(torch.bfloat16)
    assert half(images.bfloat16()).dtype == plain.cls_token.dtype == torch.bfloat16


def test_compiles_without_a_break(plain, head, images) -> None:
    model = paumer.wrap(plain, head, "2:0.5")
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert_close(compiled(images), model(images))


ONNX = ["local-merge 1:0.25+3:0.1", "token-exit 2:0.25 keep 1", "merge>pause 1:0.25>3:0.5"]


@pytest.mark.parametrize("schedule", first(ONNX))
def test_torchs_own_export_to_onnx_works(plain, head, images, schedule, tmp_path) -> None:
    """As people call it, with nothing of ours; what depends on the images is in no graph."""
    onnxruntime = pytest.importorskip("onnxruntime")
    single = images.float()
    model = paumer.wrap(plain.float(), head.float(), schedule).requires_grad_(False)
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(model, (single,), tmp_path / "model.onnx", verbose=False)
    [logits] = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(None, {"images": single.numpy()})
    assert_close(torch.from_numpy(logits), model(single), rtol=1e-3, atol=1e-4)


def test_gradients_reach_the_head(plain, head, images) -> None:
    paumer.wrap(plain, head, "2:0.5")(images).sum().backward()
    assert all(value.grad is not None for value in head.parameters())


def test_multiply_accumulates_count_the_heads(plain, head, map_head, images) -> None:
    own = WIDTH * 16 + 16 * CLASSES
    model = paumer.wrap(plain, head, "2:0.5")
    exited, dense, paused = (
        output.macs for output in model.sweep(images, [*points(model, "exit:6"), Dense(), model.strategy], count=True)
    )
    assert torch.equal(exited, dense)
    half = paumer.wrap(plain, head, "2:0.5", criterion="random")
    [random] = model.sweep(images, [half.strategy], count=True)
    assert torch.equal(paused - random.macs, torch.full((2,), 24.0 * own, dtype=torch.float64))
    maps = paumer.wrap(plain, map_head, "dense", layout="map")
    [whole] = maps.sweep(images, [Dense()], count=True)
    convolutions = 24 * WIDTH * 8 * 9 + 24 * 16 * 8 * CLASSES
    assert torch.equal(whole.macs - dense, torch.full((2,), convolutions - 24.0 * own, dtype=torch.float64))


def points(model: Segmenter, schedule: str) -> list:
    return [model.with_schedule(schedule, strategy="early-exit").strategy]


FREQUENCIES = [0.5, 0.2, 0.1, 0.1, 0.1]


@pytest.mark.parametrize(
    "given",
    [FREQUENCIES, tuple(FREQUENCIES), np.array(FREQUENCIES), torch.tensor(FREQUENCIES), dict(enumerate(FREQUENCIES))],
    ids=lambda given: type(given).__name__,
)
def test_frequencies_are_taken_as_people_have_them(plain, head, images, given) -> None:
    known = {"auxiliary": {2: head}, "criterion": "smoothed"}
    model = paumer.wrap(plain, head, "2:0.5", class_frequencies=given, **known)
    listed = paumer.wrap(plain, head, "2:0.5", class_frequencies=FREQUENCIES, **known)
    assert torch.equal(model(images), listed(images))


def test_auxiliary_modules_are_taken_as_people_have_them(plain, head, images) -> None:
    module = nn.Linear(WIDTH, CLASSES).double()
    expected = paumer.wrap(plain, head, "2:0.5", auxiliary={2: module})(images)
    for auxiliary in ({"2": module}, nn.ModuleDict({"2": module})):
        assert torch.equal(paumer.wrap(plain, head, "2:0.5", auxiliary=auxiliary)(images), expected)


def test_schedules_are_taken_as_people_have_them(plain, head, images) -> None:
    model = paumer.wrap(plain, head, paumer.Schedule("2:0.5"))
    assert torch.equal(model(images), paumer.wrap(plain, head, "2:0.5")(images))
    assert torch.equal(model.with_schedule(paumer.Schedule("3:0.25"))(images), model.with_schedule("3:0.25")(images))
    merging = model.with_schedule("merge 1-3:0.25")
    assert torch.equal(merging(images), model.with_schedule("1-3:0.25", strategy="merge")(images))
    assert merging.with_schedule("1:0.25").strategy.name == "merge"  # as now
    assert torch.equal(model.with_schedule(paumer.Schedule())(images), model.with_schedule("dense")(images))


def test_segment_normalises_as_timms_configuration_says(head) -> None:
    vit, images = make_vit(), torch.randint(256, (2, 3, 37, 50), dtype=torch.uint8)
    assert vit.pretrained_cfg["mean"] == (0.5, 0.5, 0.5)
    model = paumer.wrap(vit, head, "2:0.5")
    expected = model.predict_labels(images.double() / 127.5 - 1)
    assert (model.segment(images) == expected).double().mean() > 0.999
    assert (model.segment(images[1]) == expected[1]).double().mean() > 0.999
    other = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)}
    shift, scale = (torch.tensor(other[name], dtype=torch.float64).view(3, 1, 1) for name in ("mean", "std"))
    own = paumer.wrap(vit, head, "2:0.5", normalization=other)
    labels = own.predict_labels((images.double() / 255 - shift) / scale)
    assert (own.segment(images) == labels).double().mean() > 0.999
    vit.pretrained_cfg = {}
    with pytest.raises(PaumerError, match="does not say how its images are normalised; name it, as wrap"):
        paumer.wrap(vit, head, "2:0.5").segment(images)


def test_segment_sees_images_as_the_evaluation_says(plain, head) -> None:
    images = torch.randint(256, (1, 3, 37, 50), dtype=torch.uint8)
    windows = {"inference": "sliding", "window": [24, 32], "stride": [16, 16]}
    model = paumer.wrap(plain, head, "2:0.5", evaluation=windows)
    logits = paumer.sliding_window_logits(model, images, (24, 32), (16, 16))
    assert (model.segment(images) == logits.argmax(dim=1)).double().mean() > 0.999


def test_the_pages_code_runs() -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)).replace(
        "=True, dynamic", "=False, dynamic"
    )
    assert "pretrained=False" in code
    batches = [(torch.randn(2, 3, 96, 160), torch.randint(19, (2, 60)))]
    pixels = torch.randint(256, (1, 3, 96, 160), dtype=torch.uint8)
    names = {"batches": batches, "frequencies": [1 / 19] * 19, "pixels": pixels}
    exec(code, names)
    assert names["logits"].shape == (2, 19, 96, 160)
    for name in ("model", "faster", "control", "merging", "both"):
        assert names[name](names["images"]).shape == (2, 19, 96, 160)
    assert names["both"].strategy.name == "merge>pause"
    assert names["labels"].shape == (1, 96, 160)
    assert names["table"].schedule.tolist() == ["dense", "3:0.4", "3:0.6", "1-8:0.05"]
