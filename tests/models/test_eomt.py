"""EoMT as published: the scores of a plain re-computation, also where patches pause before the queries join."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

import paumer
from paumer.strategies.contract import Dense
from paumer.strategies.registry import read_point
from paumer.system.errors import PaumerError

WIDTH, DEPTH, JOIN, QUERIES, CLASSES, PATCH, SIDE = 128, 5, 3, 7, 5, 16, 4
PREFIX = 5  # a class token and four registers


def published_weights() -> dict[str, Tensor]:
    """Weights of the names and shapes that the authors publish, drawn at random."""
    generator, shapes = torch.Generator().manual_seed(0), {}
    backbone = "network.encoder.backbone."
    shapes |= {f"{backbone}cls_token": (1, 1, WIDTH), f"{backbone}reg_token": (1, 4, WIDTH)}
    shapes |= {f"{backbone}pos_embed": (1, SIDE**2, WIDTH), f"{backbone}patch_embed.proj.bias": (WIDTH,)}
    shapes |= {f"{backbone}patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH)}
    for number in range(DEPTH):
        block = f"{backbone}blocks.{number}."
        for name, (out, into) in {
            "attn.qkv": (3 * WIDTH, WIDTH),
            "attn.proj": (WIDTH, WIDTH),
            "mlp.fc1": (4 * WIDTH, WIDTH),
            "mlp.fc2": (WIDTH, 4 * WIDTH),
        }.items():
            shapes |= {f"{block}{name}.weight": (out, into), f"{block}{name}.bias": (out,)}
        shapes |= {f"{block}{name}": (WIDTH,) for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias")}
        shapes |= {f"{block}ls1.gamma": (WIDTH,), f"{block}ls2.gamma": (WIDTH,)}
    shapes |= {f"{backbone}norm.weight": (WIDTH,), f"{backbone}norm.bias": (WIDTH,)}
    shapes |= {"network.q.weight": (QUERIES, WIDTH), "network.class_head.weight": (CLASSES + 1, WIDTH)}
    shapes |= {"network.class_head.bias": (CLASSES + 1,)}
    for layer in (0, 2, 4):
        shapes |= {f"network.mask_head.{layer}.weight": (WIDTH, WIDTH), f"network.mask_head.{layer}.bias": (WIDTH,)}
    for step in range(2):
        name = f"network.upscale.{step}."
        shapes |= {f"{name}conv1.weight": (WIDTH, WIDTH, 2, 2), f"{name}conv1.bias": (WIDTH,)}
        shapes |= {
            f"{name}conv2.weight": (WIDTH, 1, 3, 3),
            f"{name}norm.weight": (WIDTH,),
            f"{name}norm.bias": (WIDTH,),
        }
    weights = {name: 0.15 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    weights |= {"network.encoder.pixel_mean": torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)}
    weights |= {"network.encoder.pixel_std": torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)}
    return weights | {"network.attn_mask_probs": torch.zeros(DEPTH - JOIN), "criterion.empty_weight": torch.ones(6)}


def norm(weights: dict[str, Tensor], name: str, values: Tensor) -> Tensor:
    return functional.layer_norm(values, (WIDTH,), weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-6)


def linear(weights: dict[str, Tensor], name: str, values: Tensor) -> Tensor:
    return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def run_block(weights: dict[str, Tensor], number: int, tokens: Tensor) -> Tensor:
    """A block, written out."""
    name = f"network.encoder.backbone.blocks.{number}."
    joint = linear(weights, f"{name}attn.qkv", norm(weights, f"{name}norm1", tokens))
    query, key, value = (part.unflatten(-1, (2, WIDTH // 2)).transpose(1, 2) for part in joint.chunk(3, dim=-1))
    attention = (query @ key.transpose(-1, -2) / (WIDTH // 2) ** 0.5).softmax(dim=-1)
    mixed = linear(weights, f"{name}attn.proj", (attention @ value).transpose(1, 2).flatten(2))
    tokens = tokens + weights[f"{name}ls1.gamma"] * mixed
    hidden = functional.gelu(linear(weights, f"{name}mlp.fc1", norm(weights, f"{name}norm2", tokens)))
    return tokens + weights[f"{name}ls2.gamma"] * linear(weights, f"{name}mlp.fc2", hidden)


def embed(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    name = "network.encoder.backbone."
    projection = (weights[f"{name}patch_embed.proj.weight"], weights[f"{name}patch_embed.proj.bias"])
    patches = functional.conv2d(images, *projection, stride=PATCH).flatten(2).transpose(1, 2)
    prefix = torch.cat([weights[f"{name}cls_token"], weights[f"{name}reg_token"]], dim=1)
    return torch.cat([prefix.expand(len(images), -1, -1), patches + weights[f"{name}pos_embed"]], dim=1)


def predict(weights: dict[str, Tensor], tokens: Tensor) -> Tensor:
    """Scores of the classes at all pixels, from the tokens with which the queries meet."""
    tokens = torch.cat([weights["network.q.weight"].expand(len(tokens), -1, -1), tokens], dim=1)
    for number in range(JOIN, DEPTH):
        tokens = run_block(weights, number, tokens)
    tokens = norm(weights, "network.encoder.backbone.norm", tokens)
    queries, patches = tokens[:, :QUERIES], tokens[:, QUERIES + PREFIX :]
    maps = patches.transpose(1, 2).reshape(len(tokens), WIDTH, SIDE, SIDE)
    for step in range(2):
        name = f"network.upscale.{step}."
        maps = functional.conv_transpose2d(maps, weights[f"{name}conv1.weight"], weights[f"{name}conv1.bias"], stride=2)
        maps = functional.conv2d(functional.gelu(maps), weights[f"{name}conv2.weight"], padding=1, groups=WIDTH)
        maps = norm(weights, f"{name}norm", maps.movedim(1, -1)).movedim(-1, 1)
    described = queries
    for layer in (0, 2, 4):
        described = linear(weights, f"network.mask_head.{layer}", functional.gelu(described) if layer else described)
    masks = torch.einsum("bqw,bwij->bqij", described, maps)
    masks = functional.interpolate(masks, scale_factor=4, mode="bilinear")
    likely = linear(weights, "network.class_head", queries).softmax(dim=-1)[..., :CLASSES]
    return torch.einsum("bqc,bqij->bcij", likely, masks.sigmoid())


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return published_weights()


@pytest.fixture(scope="module")
def file(weights, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("published") / "pytorch_model.bin"
    torch.save(weights, path)
    return path


@pytest.fixture(scope="module")
def model(file) -> nn.Module:
    torch.manual_seed(0)
    return paumer.load_eomt(file, {2: nn.Linear(WIDTH, CLASSES)}).double().requires_grad_(False)


@pytest.fixture(scope="module")
def exact(weights) -> dict[str, Tensor]:
    return {name: value.double() for name, value in weights.items()}


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_scores_are_those_of_a_plain_computation(model, exact, images) -> None:
    tokens = embed(exact, images)
    for number in range(JOIN):
        tokens = run_block(exact, number, tokens)
    assert_close(model(images), predict(exact, tokens), rtol=0, atol=1e-10)


@pytest.mark.parametrize("schedule", ["2:0.5", "2@0.5"])
def test_paused_patches_skip_blocks_and_meet_the_queries(model, exact, images, schedule) -> None:
    """With as many patches of every image, and with different numbers in one sequence."""
    ran = model.with_schedule(schedule)
    tokens = run_block(exact, 1, run_block(exact, 0, embed(exact, images)))
    likely = model.heads["2"](tokens[:, PREFIX:])[:, :, 0].softmax(dim=-1)
    entropy = -(likely * likely.log()).sum(dim=-1) / torch.tensor(CLASSES).log()
    assert entropy.std() > 0.01
    for image in range(2):
        runs = entropy[image].topk(8).indices if schedule == "2:0.5" else (1 - entropy[image] <= 0.5).nonzero()[:, 0]
        assert 0 < len(runs) < 16
        alone = tokens[image : image + 1]
        kept = run_block(exact, 2, torch.cat([alone[:, :PREFIX], alone[:, PREFIX + runs]], dim=1))
        together = alone.clone()
        together[:, :PREFIX], together[:, PREFIX + runs] = kept[:, :PREFIX], kept[:, PREFIX:]
        assert_close(ran(images)[image], predict(exact, together)[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("point", ["merge 1-2:0.2", "shared-patches share:0.5", "local-merge 1:0.3"])
def test_without_a_head_patches_merge(file, images, point) -> None:
    merging = paumer.load_eomt(file.parent).with_schedule(point).double()
    assert merging(images).shape == (2, CLASSES, 64, 64)
    assert not torch.allclose(merging(images), merging.with_schedule("dense")(images))


def test_any_size_runs_and_class_ids_are_those_of_the_largest_scores(model) -> None:
    images = torch.randn(1, 3, 50, 90, dtype=torch.float64)
    assert model(images).shape == (1, CLASSES, 50, 90)
    assert torch.equal(model.predict_labels(images), model(images).argmax(dim=1))
    assert model.segment(torch.randint(256, (3, 50, 90), dtype=torch.uint8)).shape == (50, 90)


def test_pausing_costs_less(model, images) -> None:
    strategies = [Dense(), model.strategy_of(read_point("2:0.5"))]
    dense, paused = (output.macs for output in model.sweep(images, strategies, count=True))
    assert (paused < dense).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network.attn_mask_probs": torch.ones(2)}, "still masked"),
        ({"network.attn_mask_probs": None}, "has no network.attn_mask_probs"),
        ({"network.q.weight": None}, "is no EoMT of a plain backbone .*network.q.weight"),
        ({"network.encoder.backbone.blocks.4.ls1.gamma": None}, "weights do not fit .*blocks.4.ls1.gamma"),
        ({"network.class_head.bias": torch.zeros(9)}, "weights do not fit .*class_head.bias"),
        ({"network.q.weight": torch.full((QUERIES, WIDTH), torch.nan)}, "network.q.weight holds values that are not"),
    ],
)
def test_other_files_are_refused_in_a_line(weights, tmp_path, change, words) -> None:
    changed = {name: value for name, value in (weights | change).items() if value is not None}
    torch.save(changed, tmp_path / "pytorch_model.bin")
    with pytest.raises(PaumerError, match=words) as caught:
        paumer.load_eomt(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_and_a_head_that_does_not_fit_are_named(file, tmp_path) -> None:
    with pytest.raises(PaumerError, match="no such file"):
        paumer.load_eomt(tmp_path)
    with pytest.raises(PaumerError, match=r"auxiliary\[2\]: predicts 3 classes"):
        paumer.load_eomt(file, {2: nn.Linear(WIDTH, 3)})
    with pytest.raises(PaumerError, match="number each block once, from 1 to 3"):
        paumer.load_eomt(file, {4: nn.Linear(WIDTH, CLASSES)})
    with pytest.raises(PaumerError, match="a head of maps cannot predict after block 1"):
        paumer.load_eomt(file).with_schedule("1:0.4")
