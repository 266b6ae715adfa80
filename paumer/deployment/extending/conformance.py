"""What every strategy keeps, however it reduces: the checks of `paumer check`, which the tests run too.

Every check takes a network, normalised images (batch, 3, height, width) and an operating point of one strategy. It
returns why it does not apply, or an empty text, and raises PaumerError where something contradicts.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from paumer.config.network import Backbone, Decoder, Heads, NetworkSettings
from paumer.measurement.counting import count
from paumer.models.build import build
from paumer.models.graphs import Forward, trace
from paumer.models.heads import LinearHead
from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.criteria import CRITERIA, MOST
from paumer.strategies.notation import Parameters, Schedule, WithSchedule
from paumer.strategies.registry import REGISTRY, OperatingPoint, build_strategy, operating_point
from paumer.system.errors import PaumerError, summary

Check = Callable[[Segmenter, Tensor, OperatingPoint], str]
DEPTH, CLASSES, SIZE = 12, 5, (32, 64)
SMALL = Backbone(
    name="small",
    architecture="vit_tiny_patch16_224",
    options={"patch_size": 8, "embed_dim": 32, "depth": DEPTH, "num_heads": 2},
)
CELLS = Decoder(sub_patch=2)
SQUARE = 16  # pixels along the side of 2 x 2 patches
EXACT, CLOSE, SINGLE = 1e-12, 1e-6, 1e-3  # the largest differences, the last of float32
RANDOM = "it draws at random"
CHECKS: dict[str, Check] = {}


def random_network(backbone: Backbone = SMALL, decoder: Decoder = CELLS, **heads: Any) -> Segmenter:
    """A network of float64 with random weights and a head after every block, the same at each call."""
    depth = int(backbone.options["depth"])
    settings = NetworkSettings(
        backbone=backbone,
        decoder=decoder,
        heads=Heads(blocks=tuple(range(1, depth + 1)), **heads),
        classes=CLASSES,
        class_frequencies=(0.4, 0.3, 0.2, 0.08, 0.02),
        image_size=SIZE,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build(settings).double().eval()
        with torch.no_grad():
            for value in model.parameters():
                value.add_(0.2 * torch.randn_like(value))  # so that heads differ from patch to patch
    return model.requires_grad_(False)


def random_images() -> Tensor:
    """Three images of float64, the same at each call."""
    return torch.randn(3, 3, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def check(says: str) -> Callable[[Check], Check]:
    """Declare a function as the check that is named so in what is printed."""

    def declare(one: Check) -> Check:
        CHECKS[says] = one
        return one

    return declare


def require_close(found: Tensor, expected: Tensor, within: float, otherwise: str) -> None:
    """Refuse tensors that differ by more than a share of the largest value.

    Raises:
        PaumerError: they do, or have different shapes; the text begins with `otherwise`.
    """
    if found.shape != expected.shape:
        raise PaumerError(f"{otherwise}: shape {tuple(found.shape)} instead of {tuple(expected.shape)}")
    difference = float((found - expected).abs().max())
    if not difference <= within * max(1.0, float(expected.abs().max())):
        raise PaumerError(f"{otherwise}: logits differ by {difference:.2g}")


def is_random(network: Segmenter, images: Tensor, strategy: Strategy) -> bool:
    """Whether two passes differ."""
    return not torch.equal(network.patch_logits(images, strategy), network.patch_logits(images, strategy))


@check("schedules are read as they are written")
def notation(network: Segmenter, images: Tensor, point: OperatingPoint) -> str:
    """What stands in tables is read back as the same operating point, which fits the network."""
    again, built = operating_point(*point.label), build_strategy(point)
    if again != point or hash(again) != hash(point):
        raise PaumerError(f"{point.schedule!r} is read as {again}; compare parameters by value, as dataclasses do")
    if (str(built), built.schedule_text) != (str(point), point.schedule):
        raise PaumerError(f"the strategy is called {built}, and its operating point {point}")
    point.check_depth(network.encoder.depth)
    return ""


@check("impossible schedules are refused in words")
def refusals(network: Segmenter, images: Tensor, point: OperatingPoint) -> str:
    """Texts that are no schedule, and blocks that a network lacks, are refused by PaumerError alone."""
    for kind in {type(part) for part in point.parts}:
        for text in ("", "nonsense", f"{point.schedule} nonsense", f"{point.schedule}+"):
            _require_refusal(f"parse({text!r})", partial(kind.parse, text))
    for part in point.parts:
        depth = max(part.parameters.blocks, default=0) - 1
        if depth >= 0:  # else it acts before the first block
            _require_refusal(f"check_depth({depth})", partial(part.parameters.check_depth, depth))
    return ""


def _require_refusal(call: str, run: Callable[[], object]) -> None:
    try:
        run()
    except PaumerError:
        return
    except Exception as error:  # whatever it raises instead
        raise PaumerError(f"{call} raises {type(error).__name__} ({summary(error)}); raise PaumerError") from None
    raise PaumerError(f"{call} refuses nothing; raise PaumerError that says what to write instead")


@check("it needs the heads that it reads, and no more")
def heads(network: Segmenter, images: Tensor, point: OperatingPoint) -> str:
    """It runs on a network with all heads, and on one without exactly if it reads none."""
    headless = copy.copy(network)
    headless._modules = network._modules | {"heads": nn.ModuleDict()}
    built = build_strategy(point)
    if reason := built.skip(network):
        raise PaumerError(f"it does not run on a network with a head after every block: {reason}")
    if bool(built.skip(headless)) != bool(built.head_blocks):
        raise PaumerError(f"it names heads {built.head_blocks}, but on a network without any `skip` says otherwise")
    if not built.head_blocks:
        headless.patch_logits(images, built)
    return ""


@check("where nothing is asked for it is dense, bit for bit")
def nothing_asked(network: Segmenter, images: Tensor, point: OperatingPoint) -> str:
    """Without locations nothing happens."""
    nothing = [_without_locations(part.parameters) for part in point.parts]
    if any(parameters is None for parameters in nothing):
        return "its schedule cannot be empty"
    parts = [replace(part, parameters=parameters) for part, parameters in zip(point.parts, nothing, strict=True)]
    built = build_strategy(OperatingPoint(tuple(parts)))
    if not torch.equal(network.patch_logits(images, built), network.patch_logits(images, Dense())):
        raise PaumerError("with an empty schedule the logits are not those of the dense network; do nothing then")
    return ""


def _without_locations(parameters: Parameters) -> Parameters | None:
    """The same parameters without any location; None where there is no such thing."""
    if isinstance(parameters, Schedule):
        return Schedule()
    if isinstance(parameters, WithSchedule) and isinstance(parameters.schedule, Schedule):
        try:
            without = replace(parameters, schedule=Schedule())
            return without if not without.blocks else None
        except (PaumerError, LookupError):
            return None
    return None


@check("every patch comes back to its place")
def places(network: Segmenter, images: Tensor, point: OperatingPoint) -> str:
    """In images of two colours, through blocks that change nothing, a patch gets what patches of its colour get.

    That is one of as many logits as there are blocks at which a patch may leave, and never those of the other colour.
    """
    built = build_strategy(point)
    if built.input_scale != 1:
        return "it sees the image at another size"
    if not isinstance(network.decoder, LinearHead):
        return "in the decoder patches see each other"
    idle = _idle(network)
    draw = torch.Generator().manual_seed(2)
    squares = torch.rand(len(images), 4, 4, generator=draw).argsort(-1) % 2  # as many of each colour in every row
    colours = torch.randn(2, 3, generator=draw, dtype=images.dtype)
    pixels = colours[squares].permute(0, 3, 1, 2).repeat_interleave(SQUARE, -1).repeat_interleave(SQUARE, -2)
    grid = tuple(side // 8 for side in pixels.shape[-2:])
    logits = idle.patch_logits(pixels, built)
    cells = logits.shape[-1] // grid[1]
    patches = logits.unflatten(-1, (grid[1], cells)).unflatten(-3, (grid[0], cells))  # batch, class, y, cell, x, cell
    patches = patches.permute(0, 2, 4, 1, 3, 5).flatten(3)
    shown = squares.repeat_interleave(2, -1).repeat_interleave(2, -2)
    ways = 1 + len({block for part in point.parts for block in part.parameters.blocks})
    for values, colour in zip(patches.flatten(1, 2), shown.flatten(1), strict=True):
        apart = torch.cdist(values[colour == 0], values[colour == 1])
        if float(apart.min()) < CLOSE:
            raise PaumerError("a patch gets the logits of a patch that shows something else; mend `restore`")
        if max(_different(values[colour == one]) for one in (0, 1)) > ways:
            raise PaumerError(f"patches that show the same get more than {ways} logits; mend `restore`")
    return ""


def _idle(network: Segmenter) -> Segmenter:
    """A copy whose blocks change nothing, and whose tokens do not know where they are."""
    idle = copy.deepcopy(network)
    blocks: Any = idle.encoder.blocks
    with torch.no_grad():
        for block in blocks:
            for value in (*block.attn.proj.parameters(), *block.mlp.fc2.parameters()):
                value.zero_()
        idle.encoder.vit.pos_embed.zero_()
    return idle


def _different(values: Tensor) -> int:
    """How many of the rows (count, width) differ."""
    kept: list[Tensor] = []
    for value in values:
        if all(float((value - other).abs().max()) > CLOSE for other in kept):
            kept.append(value)
    return len(kept)


@check("images of a batch run as if they were alone")
def alone(network: Segmenter, images: Tensor, point: OperatingPoint) -> str:
    """Every image gets the logits of a batch of one, and costs as much."""
    built = build_strategy(point)
    if is_random(network, images, built):
        return RANDOM
    [together] = network.sweep(images, [built], count=True)
    for number, image in enumerate(images.split(1)):
        [single] = network.sweep(image, [built], count=True)
        require_close(together.logits[number], single.logits[0], CLOSE, f"image {number} of a batch is not as alone")
        if together.macs is None or single.macs is None or together.macs[number] != single.macs[0]:
            raise PaumerError(f"image {number} of a batch does not cost what it costs alone")
    return ""


@check("the order of the images does not matter")
def order(network: Segmenter, images: Tensor, point: OperatingPoint) -> str:
    """The batch from last to first gives the logits from last to first."""
    built = build_strategy(point)
    if is_random(network, images, built):
        return RANDOM
    turned = network.patch_logits(images.flip(0), built).flip(0)
    require_close(turned, network.patch_logits(images, built), CLOSE, "another order gives something else")
    return ""


@check("in a sweep it gives what it gives alone")
def sweep(network: Segmenter, images: Tensor, point: OperatingPoint) -> str:
    """Blocks that it shares with dense change neither; `action_key` and `merge_key` say where it acts."""
    built = build_strategy(point)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        single = network.patch_logits(images, built)
        torch.manual_seed(0)
        dense, together = network.sweep(images, [Dense(), built])
    require_close(together.logits, single, EXACT, "in a sweep it gives something else")
    require_close(dense.logits, network.patch_logits(images), EXACT, "in a sweep with it dense is another network")
    return ""


@check("logits have the size of the image")
def sizes(network: Segmenter, images: Tensor, point: OperatingPoint) -> str:
    """Images of any size give finite logits of their size."""
    for shape in ((1, 3, 37, 50), (2, 3, 30, 61)):
        drawn = torch.randn(shape, dtype=images.dtype, generator=torch.Generator().manual_seed(3))
        logits = network(drawn, build_strategy(point))
        if logits.shape != (shape[0], network.classes, *shape[2:]) or not logits.isfinite().all():
            raise PaumerError(f"images of shape {shape} give {tuple(logits.shape)}, or numbers that are not finite")
    return ""


@check("the multiply-accumulates that it charges are those that fvcore counts")
def cost(network: Segmenter, images: Tensor, point: OperatingPoint) -> str:
    """Of a fixed cost; one that varies is compared image by image elsewhere."""
    built = build_strategy(point)
    if built.varies:
        return "its cost depends on the image"
    single = copy.deepcopy(network).float()
    [output] = single.sweep(images.float(), [built], count=True)
    size = (int(images.shape[2]), int(images.shape[3]))
    counted, charged = 1e9 * count(single, size, built)["gmac_total"], output.macs
    if charged is None or not torch.allclose(charged, torch.full_like(charged, counted), rtol=1e-9):
        raise PaumerError(f"an image is charged {charged}, and fvcore counts {counted:.0f}; call `state.add_macs`")
    return ""


@check("it runs in bfloat16")
def bfloat16(network: Segmenter, images: Tensor, point: OperatingPoint) -> str:
    """Under autocast its logits are finite."""
    single = copy.deepcopy(network).float()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        if not single(images.float(), build_strategy(point)).isfinite().all():
            raise PaumerError("logits are not finite")
    return ""


@check("it trains")
def training(network: Segmenter, images: Tensor, point: OperatingPoint) -> str:
    """Gradients of its logits are finite, and heads predict what they have labels of."""
    built = build_strategy(point)
    if built.per_image:
        return "images run one by one"
    trained = copy.deepcopy(network).requires_grad_(True)
    labels = torch.zeros(len(images), *images.shape[2:], dtype=torch.uint8)
    logits, predictions = trained.train_heads(images, labels, built)
    (logits.sum() + sum(said.logits.sum() for said in predictions)).backward()
    if any(said.logits.shape != said.truth.shape for said in predictions):
        raise PaumerError("a head predicts other patches than it has labels of; reduce by `state.apply`")
    if not all(value.grad.isfinite().all() for value in trained.parameters() if value.grad is not None):
        raise PaumerError("gradients are not finite")
    return ""


@check("it is exported and compiled")
def graph(network: Segmenter, images: Tensor, point: OperatingPoint) -> str:
    """A graph of fixed cost gives its logits for batches of any size, and so does torch.compile."""
    built = build_strategy(point)
    if built.varies:
        return "its cost depends on the image"
    single, seen = copy.deepcopy(network).float(), images.float()
    if is_random(single, seen, built):
        return RANDOM
    size, expected = (int(seen.shape[2]), int(seen.shape[3])), single(seen, built)
    exported = trace(copy.deepcopy(single), built, size).module()
    require_close(exported(seen), expected, SINGLE, "exported it gives something else")
    require_close(exported(seen[:2]), expected[:2], SINGLE, "exported it gives something else for another batch")
    torch._dynamo.reset()
    with torch.no_grad():
        compiled = torch.compile(Forward(single, built), backend="eager")(seen)
    require_close(compiled, expected, SINGLE, "compiled it gives something else")
    return ""


@check("scores of its criterion are one number per patch")
def scores(network: Segmenter, images: Tensor, point: OperatingPoint) -> str:
    """Of a criterion that reads a head, from 0 to 2 wherever the prediction is a number."""
    if not point.criterion or not CRITERIA[point.criterion].needs_head or CRITERIA[point.criterion].needs_labels:
        return "it has no criterion that reads a head"
    tokens, state = network.embed(images)
    found = state.scores(point.criterion, 1, tokens)
    if found.shape != state.patches_of(tokens).shape[:2] or not ((found >= 0) & (found <= MOST)).all():
        raise PaumerError(f"scores have shape {tuple(found.shape)} and lie in {found.min():g} to {found.max():g}")
    return ""


def examples_of(strategy: str) -> list[OperatingPoint]:
    """The examples of a registered strategy, by its usual criterion."""
    return [operating_point(strategy, "", text) for text in REGISTRY[strategy].examples]
