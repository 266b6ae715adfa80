"""The inference form gives what the network gives, by fewer calls."""

import copy
from collections import Counter
from functools import partial
from typing import Any

import pytest
import timm
import torch
from tiers import first
from torch import Tensor, nn
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

import paumer
from paumer.config.network import Backbone, Decoder, Heads, NetworkSettings
from paumer.models.build import build
from paumer.models.heads import AdapterLayer
from paumer.models.optimized import FoldedLayer
from paumer.models.segmenter import Segmenter
from paumer.strategies.tokens import TokenPositions
from paumer.system.errors import PaumerError

SIZE = (64, 96)
LAUNCHES = 20  # that pausing may add to a forward pass
FREE = {"_unsafe_view", "unfold"}  # views in all but name
SCHEDULES = [
    "2:0.4",
    "2:0.2+4:0.3",
    "2@0.5",
    "2:0.4 rejoin 5",
    "merge 1-3:0.1",
    "early-exit 4",
    "resize>pause scale:0.75>2:0.4",
]
ADAPTERS = {"adapter": 24, "layers": 2, "context": 3}
KINDS: dict[str, dict[str, Any]] = {
    "decoder as classifier": {"heads": ADAPTERS | {"classifier": "decoder"}},
    "classifiers of their own": {"heads": ADAPTERS | {"classifier": "own"}},
    "mask transformer": {"heads": {"adapter": 24}, "decoder": {"name": "mask_transformer"}},
    "plain heads, registers": {"heads": {}, "architecture": "vit_small_patch14_reg4_dinov2"},
    "rotary positions": {"heads": ADAPTERS, "architecture": "vit_small_patch16_dinov3"},
}


def network(heads: dict[str, Any], architecture: str = "vit_tiny_patch16_224", **other: Any) -> Segmenter:
    """A network whose scales, adapters and heads are far from their start."""
    options = {"patch_size": 8, "embed_dim": 32, "depth": 6, "num_heads": 2, "init_values": 0.5} | other.pop(
        "options", {}
    )
    torch.manual_seed(0)
    model = build(
        NetworkSettings(
            backbone=Backbone(name="net", architecture=architecture, options=options),
            decoder=Decoder(**other.pop("decoder", {})),
            heads=Heads(**{"blocks": (1, 2, 4)} | heads),
            classes=5,
            image_size=(32, 64),
        )
    ).eval()
    with torch.no_grad():
        for value in model.parameters():
            value += 0.1 * torch.randn_like(value)
    return model


@pytest.fixture(scope="module")
def images() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (2, 3, *SIZE), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("kind", first(KINDS))
@pytest.mark.parametrize("batch", [1, 2])
def test_logits_are_those_of_the_network(kind: str, batch: int, images: Tensor) -> None:
    model = network(**KINDS[kind])
    before = copy.deepcopy(model.state_dict())
    form = model.optimized(SIZE, batch, SCHEDULES, "float32")
    for schedule in ["dense", *SCHEDULES]:
        with torch.inference_mode():
            expected = model.with_schedule(schedule)(images[:batch])
            normalised = model.normalize(images[:batch])
        for given in (images[:batch], normalised):
            assert_close(form.run(given, schedule), expected, rtol=1e-3, atol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("kind", first(KINDS))
def test_bfloat16_is_near(kind: str, images: Tensor) -> None:
    model = network(**KINDS[kind])
    form = model.optimized(SIZE, 2, SCHEDULES, "bfloat16")
    with torch.inference_mode():
        expected = model(images)
    assert_close(form.run(images), expected, rtol=0.1, atol=0.1 * float(expected.std()))
    assert {form.run(images, schedule).dtype for schedule in SCHEDULES} == {torch.float32}


def test_patches_are_decoded_once_where_heads_predict_by_the_decoder() -> None:
    seen: list[Tensor] = []
    form = network(**KINDS["decoder as classifier"]).optimized(SIZE, 1, ["2:0.4"], "float32")
    form.network.decoder.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    form.run(torch.zeros(1, 3, *SIZE), "2:0.4")
    assert [patches.shape[1] for patches in seen] == [96, 58]


@pytest.mark.parametrize("context", [0, 5])
def test_a_folded_layer_is_the_layer(context: int) -> None:
    torch.manual_seed(0)
    layer = AdapterLayer(16, 20, context).double().requires_grad_(False)
    for value in layer.parameters():
        value.copy_(torch.randn_like(value))
    patches, positions = torch.randn(2, 12, 16, dtype=torch.float64), TokenPositions((3, 4), 2)
    expected = layer(patches, positions)
    assert_close(FoldedLayer(layer).double()(patches, positions), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("layout", ["tokens", "map"])
def test_wrapped_networks(layout: str, images: Tensor) -> None:
    torch.manual_seed(0)
    options = {"img_size": 64, "patch_size": 8, "embed_dim": 32, "depth": 6, "num_heads": 2, "num_classes": 0}
    vit = timm.create_model("vit_tiny_patch16_224", **options).eval()
    head = nn.Linear(32, 5) if layout == "tokens" else nn.Conv2d(32, 5, 3, padding=1)
    model = paumer.wrap(vit, head, "2:0.4", layout=layout, auxiliary={2: nn.Linear(32, 5)}, normalization="imagenet")
    form = model.optimized(SIZE, 2, ["2:0.4"], "float32")
    half = model.optimized(SIZE, 2, ["2:0.4"], "bfloat16")
    with torch.inference_mode():
        expected = model(images)
    assert_close(form.run(images, "2:0.4"), expected, rtol=1e-3, atol=1e-4)
    assert half.run(images, "2:0.4").dtype == torch.float32


@pytest.mark.parametrize(("dtype", "most"), [("float32", 0.001), ("bfloat16", 0.005)])
def test_labels_are_those_of_the_trained_network(dtype: str, most: float) -> None:
    """In bfloat16, whose rounding the network passes through 12 blocks, a few pixels between two classes change."""
    model, (pictures, _) = paumer.load("demo"), paumer.scenes(8, seed=1)
    schedules = ["dense", "3:0.4", "2:0.2+4:0.2"]
    form = model.optimized((96, 192), 8, schedules, dtype, output="labels")
    for schedule in schedules:
        with torch.inference_mode():
            expected = model.with_schedule(schedule).predict_labels(pictures)
        assert float((form.run(pictures, schedule) != expected).float().mean()) < most


class Launches(TorchDispatchMode):
    """Counts calls that launch work on a device; views do not."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.partition("::")[2]
        if not func.is_view and name not in FREE:
            self.calls[name] += 1
        return func(*args, **kwargs or {})


def launches(run: Any, images: Tensor) -> Counter[str]:
    """The calls of a second pass; a first one keeps what is kept."""
    with torch.inference_mode(False), torch.no_grad():
        run(images)
        with Launches() as counter:
            run(images)
    return counter.calls


@pytest.fixture(scope="module")
def small() -> Segmenter:
    """As workflow/experiments/camvid.yaml has it: ViT-S with adapters of two layers that see 7 x 7 patches."""
    heads = {"blocks": (1, 2, 3, 4, 6, 8), "adapter": 384, "layers": 2, "context": 7, "classifier": "decoder"}
    options = {"patch_size": 16, "embed_dim": 384, "depth": 12, "num_heads": 6}
    return network(heads, "vit_small_patch16_384", options=options, decoder={"sub_patch": 4})


@pytest.mark.parametrize(("dtype", "casts"), [("float32", (0, 0)), ("bfloat16", (2, 3))])
def test_what_pausing_adds(small: Segmenter, dtype: str, casts: tuple[int, int]) -> None:
    """Few calls; conversions after the embedding and before final norms alone, of which the head makes one more."""
    form = small.optimized(SIZE, 1, ["1:0.4"], dtype, output="patch-logits")
    pixels = torch.zeros(1, 3, *SIZE, dtype=torch.uint8)
    dense, paused = (launches(form.runs[name], pixels) for name in ("dense", "1:0.4"))
    assert dense.total() + 10 < paused.total() <= dense.total() + LAUNCHES
    assert (dense["_to_copy"], paused["_to_copy"]) == casts
    assert dense["mul"] == 0  # LayerScale
    assert dense.total() < launches(small.patch_logits, pixels).total()


def test_schedules_are_compiled_side_by_side(monkeypatch: pytest.MonkeyPatch, images: Tensor) -> None:
    """Each has code of its own, so that the compiler need not look for it among the others."""
    made: list[Any] = []
    compile_eagerly = partial(torch.compile, backend="eager")
    monkeypatch.setattr(
        torch, "compile", lambda run, **options: made.append(run) or compile_eagerly(run, dynamic=False)
    )
    model = network(**KINDS["decoder as classifier"])
    form = model.optimized(SIZE, 1, ["2:0.4", "4:0.3"], "float32", "compile")
    assert len({run.__code__ for run in made}) == len(made) == 3
    for schedule in ["2:0.4", "dense", "4:0.3", "2:0.4"]:
        with torch.inference_mode():
            expected = model.with_schedule(schedule)(images[:1])
        assert_close(form[schedule](images[:1]), expected, rtol=1e-3, atol=1e-4)


def test_autocast_around_it_changes_nothing(images: Tensor) -> None:
    form = network(**KINDS["decoder as classifier"]).optimized(SIZE, 1, ["2:0.4"], "float32")
    with torch.autocast("cpu", torch.bfloat16):
        inside = form.run(images[:1], "2:0.4")
    assert torch.equal(inside, form.run(images[:1], "2:0.4"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float16"}, "dtype: 'float16' is unknown; use auto, float32, bfloat16"),
        ({"mode": "fast"}, "mode: 'fast' is unknown; use eager, compile, cuda-graphs"),
        ({"mode": "cuda-graphs"}, "mode cuda-graphs: needs a CUDA device; use eager or compile"),
        ({"schedules": ["3:0.4"]}, "pause 3:0.4: the network has no auxiliary head after block 3; choose another"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PaumerError) as caught:
        network(**KINDS["decoder as classifier"]).optimized(SIZE, **options)
    assert str(caught.value).startswith(message)


def test_images_and_schedules_that_it_was_not_made_for(images: Tensor) -> None:
    form = network(**KINDS["decoder as classifier"]).optimized(SIZE, 1, ["2:0.4"])
    with pytest.raises(PaumerError, match=r"^images: \(2, 3, 64, 96\); this inference form takes \(1, 3, 64, 96\)$"):
        form.run(images)
    with pytest.raises(PaumerError, match=r"^schedule 4:0\.4: not in this inference form; use dense, 2:0\.4$"):
        form["4:0.4"]
