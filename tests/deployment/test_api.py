"""What one calls from Python."""

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from deployment.finished_runs import OPTIONS, write_run
from PIL import Image
from tiers import first
from timm.models.vision_transformer import VisionTransformer

import paumer
from paumer.config.measuring import Evaluation
from paumer.evaluation.evaluate import confusion_matrix, mean_iou
from paumer.measurement.counting import count
from paumer.models.encoder import Encoder
from paumer.models.heads import LinearHead
from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Dense
from paumer.strategies.pause import Pause
from paumer.system.errors import PaumerError

SIZE = (32, 48)
POINTS = ["2:0.5", "merge 1-3:0.1"]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> paumer.Segmenter:
    return paumer.load(write_run(tmp_path_factory.mktemp("experiment")))


@pytest.fixture(scope="module")
def scenes() -> tuple[torch.Tensor, torch.Tensor]:
    return paumer.scenes(3, seed=1, height=32, width=48)


def test_importing_loads_no_torch() -> None:
    code = "import paumer, sys; paumer.Schedule('3:0.4'); print('torch' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "False"


@pytest.mark.exhaustive
def test_loading_a_network_imports_no_report_and_no_pandas() -> None:
    code = "import paumer, sys; paumer.load('demo'); print({'pandas', 'paumer.reporting'} & {*sys.modules})"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "set()"


@pytest.mark.parametrize("name", paumer.__all__)
def test_public_names_are_there(name: str) -> None:
    assert getattr(paumer, name) is not None
    assert name in dir(paumer)


def test_schedules_are_read_written_and_compared() -> None:
    schedule = paumer.Schedule("3:0.20+6:0.2")
    assert str(schedule) == "3:0.2+6:0.2"
    assert repr(schedule) == "Schedule('3:0.2+6:0.2')"
    assert schedule == paumer.Schedule(" 3:0.2 + 6:0.2 ") != paumer.Schedule("3:0.4")
    assert paumer.Schedule("dense") == paumer.Schedule() < schedule
    assert len({schedule, eval(repr(schedule), {"Schedule": paumer.Schedule})}) == 1
    with pytest.raises(PaumerError, match="below 1"):
        paumer.Schedule("3:0.6+6:0.4")


def test_scenes_are_those_of_the_seed() -> None:
    images, labels = paumer.scenes(2, seed=3, height=40, width=64)
    assert images.shape == (2, 3, 40, 64) and images.dtype == torch.uint8
    assert labels.shape == (2, 40, 64) and set(labels.unique().tolist()) <= {*range(19), 255}
    assert torch.equal(images, paumer.scenes(2, seed=3, height=40, width=64).images)
    assert torch.equal(images[:1], paumer.scenes(1, seed=3, height=40, width=64).images)
    assert not torch.equal(images, paumer.scenes(2, seed=4, height=40, width=64).images)
    with pytest.raises(PaumerError, match="0 of 96 x 192"):
        paumer.scenes(0)


def test_sweep_says_what_the_network_does(network, scenes) -> None:
    images, labels = scenes
    table = paumer.sweep(network, images, POINTS, labels)
    assert table.schedule.tolist() == ["dense", "2:0.5", "1-3:0.1"]
    assert table.criterion.tolist() == ["", "entropy", ""]
    with torch.inference_mode():
        dense = network(images, Dense()).argmax(dim=1)
        paused = network(images, Pause(paumer.Schedule("2:0.5"), "entropy")).argmax(dim=1)
    assert table.miou[0] == pytest.approx(mean_iou(confusion_matrix(labels, dense, 19)))
    assert table.miou[1] == pytest.approx(mean_iou(confusion_matrix(labels, paused, 19)))
    assert table["drop"][1] == pytest.approx(table.miou[0] - table.miou[1])
    assert table.agreement[0] == 1
    assert table.agreement[1] == pytest.approx((paused == dense).double().mean().item())
    assert table.gmac[0] == pytest.approx(count(network, SIZE, Dense())["gmac_total"], rel=1e-6)
    assert table.gmac_ratio[0] == 1 < table.gmac_ratio[1]


def test_sweep_takes_images_as_people_have_them(network, scenes, tmp_path: Path) -> None:
    images, labels = scenes
    whole = paumer.sweep(network, images, [paumer.Schedule("2:0.5")], labels)
    single = paumer.sweep(network, list(images), ["2:0.5"], list(labels))
    pd.testing.assert_frame_equal(whole, single)
    for number, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / f"{number}.png")
    files = paumer.sweep(network, tmp_path, ["2:0.5"])
    pd.testing.assert_frame_equal(whole.drop(columns=["miou", "drop"]), files)


def test_random_leaves_the_generator_alone(network, scenes) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = paumer.sweep(network, scenes[0], ["2:0.5"], criterion="random")
    assert torch.equal(before, torch.get_rng_state())
    pd.testing.assert_frame_equal(first, paumer.sweep(network, scenes[0], ["2:0.5"], criterion="random"))


def test_measure_follows_the_protocol(network, scenes) -> None:
    table = paumer.measure(network, scenes[0], ["2:0.5", "2@0.3"], batch=2, rounds=3, block_seconds=0.001)
    assert table.strategy.tolist() == ["dense", "pause", "pause", "dense-again"]
    assert set(table.status) == {"ok"} and set(table.batch) == {2}
    assert table.speedup[0] == 1
    assert ((table.speedup_low <= table.speedup) & (table.speedup <= table.speedup_high)).all()
    assert table.floor_ratio.notna().tolist() == [False, True, False, False]
    assert (table.images_per_s > 0).all()


def test_measure_times_the_inference_form(network, scenes) -> None:
    table = paumer.measure(network, scenes[0], ["2:0.5"], rounds=3, block_seconds=0.001, mode="optimized")
    assert table.strategy.tolist() == ["dense", "pause", "dense-again"]
    assert (table.status == "ok").all()
    assert table.floor_ratio.notna().tolist() == [False, True, False]


def test_measure_runs_windows_of_larger_images(network) -> None:
    sizes: list[tuple[int, ...]] = []
    handle = network.encoder.register_forward_pre_hook(lambda _, inputs: sizes.append(tuple(inputs[0].shape)))
    images = paumer.scenes(2, height=48, width=64).images
    table = paumer.measure(network, images, [], rounds=3, block_seconds=0.001)
    handle.remove()
    assert table.strategy.tolist() == ["dense", "dense-again"]
    assert {size[-2:] for size in sizes} <= {SIZE}


@pytest.fixture(scope="module")
def wrapped() -> Segmenter:
    """A wrapped network that gives one logit, with windows."""
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, **OPTIONS, depth=4, dynamic_img_size=True)
    windows = {"inference": "sliding", "window": SIZE, "stride": (16, 24)}
    return paumer.wrap(vit.eval(), torch.nn.Linear(vit.embed_dim, 1), "2:0.5", evaluation=windows)


@pytest.fixture(scope="module")
def published() -> Segmenter:
    """A published network, as its files would give it."""
    torch.manual_seed(0)
    vit = VisionTransformer(img_size=SIZE, **OPTIONS, depth=4, num_classes=0, dynamic_img_size=True)
    windows = Evaluation(inference="sliding", window=SIZE, stride=(16, 24))
    return Segmenter(Encoder(vit), LinearHead(vit.embed_dim, 7), {}, normalization="half", evaluation=windows).eval()


@pytest.mark.parametrize("name", ["network", "wrapped", "published"])
def test_all_networks_have_one_face(name, request) -> None:
    """Those of `load`, `wrap` and `load_segmenter`: segmented, switched, swept and measured alike."""
    network = request.getfixturevalue(name)
    images = paumer.scenes(2, seed=4, height=40, width=56).images
    labels = network.segment(images)
    assert labels.shape == (2, 40, 56) and int(labels.max()) < network.classes
    faster = network.with_schedule("merge 1-2:0.2")
    table = paumer.sweep(network, images, ["merge 1-2:0.2"], labels=network.with_schedule("dense").segment(images))
    assert table.miou[0] == 100 and table.gmac_ratio[1] > 1
    expected = (faster.segment(images) == network.with_schedule("dense").segment(images)).double().mean().item()
    assert table.agreement[1] == pytest.approx(expected, abs=1e-3)
    timed = paumer.measure(network, images, ["merge 1-2:0.2"], rounds=3, block_seconds=0.001)
    assert timed.strategy.tolist() == ["dense", "merge", "dense-again"] and set(timed.status) == {"ok"}


def test_labels_need_no_predictions_of_patches_where_nothing_asks_for_the_truth() -> None:
    """A head that reads whole maps gives none."""
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, **OPTIONS, depth=4, dynamic_img_size=True).eval()
    head, auxiliary = torch.nn.Conv2d(vit.embed_dim, 5, 1), {2: torch.nn.Linear(vit.embed_dim, 5)}
    network = paumer.wrap(vit, head, "2:0.5", layout="map", auxiliary=auxiliary)
    images = paumer.scenes(2, seed=4, height=32, width=48).images
    table = paumer.sweep(network, images, ["2:0.5", "2@0.1", "merge 1-2:0.2"], network.segment(images))
    assert table.miou[1] == 100 > table.miou[0]
    with pytest.raises(PaumerError, match="which a head of maps gives not"):
        paumer.sweep(network, images, ["2:0.5"], network.segment(images), "oracle")


def test_sweep_knows_the_truth_for_the_oracle_of_a_wrapped_network(wrapped) -> None:
    """Without auxiliary heads its own head predicts in between."""
    images = paumer.scenes(2, seed=4, height=32, width=48).images
    labels = torch.randint(2, (2, 32, 48), generator=torch.Generator().manual_seed(1))
    one, other = (paumer.sweep(wrapped, images, ["2:0.5"], truth, "oracle").miou[1] for truth in (labels, 1 - labels))
    assert one > paumer.sweep(wrapped, images, ["2:0.5"], labels, "random").miou[1]
    assert other > paumer.sweep(wrapped, images, ["2:0.5"], 1 - labels, "random").miou[1]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_networks_of_other_number_types_segment(network, scenes, kind) -> None:
    other = copy.deepcopy(network).to(kind).with_schedule("2:0.5")
    assert (other.segment(scenes[0]) == network.with_schedule("2:0.5").segment(scenes[0])).double().mean() > 0.9


def test_arrays_are_images_and_labels_too(network, scenes) -> None:
    images, labels = scenes
    table = paumer.sweep(network, images, ["2:0.5"], labels)
    for pictures, truths in ((images.numpy(), labels.numpy()), (list(images.numpy()), list(labels.numpy()))):
        pd.testing.assert_frame_equal(paumer.sweep(network, pictures, ["2:0.5"], truths), table)
    timed = paumer.measure(network, list(images.numpy()), [], rounds=3, block_seconds=0.001)
    assert set(timed.status) == {"ok"}


def labels_of(images: torch.Tensor, value: complex) -> torch.Tensor:
    return torch.full((len(images), *SIZE), value)


NUMBERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "backwards": lambda values: np.flip(np.ascontiguousarray(np.flip(values, 1)), 1),
    "of more bits": lambda values: values.astype(np.uint16),
    "big-endian": lambda values: values.astype(">i2"),
    "read-only": lambda values: np.frombuffer(values.tobytes(), values.dtype).reshape(values.shape),
    "in columns": lambda values: np.asfortranarray(values),
}


@pytest.mark.parametrize("name", first(NUMBERS))
def test_arrays_however_they_lie_in_memory(network, scenes, name: str) -> None:
    images, labels = scenes
    pictures, truths = images.numpy(), labels.numpy().astype(np.uint8)
    given = NUMBERS[name](pictures) if NUMBERS[name](pictures).dtype == np.uint8 else pictures
    table = paumer.sweep(network, given, ["2:0.5"], NUMBERS[name](truths))
    pd.testing.assert_frame_equal(table, paumer.sweep(network, images, ["2:0.5"], labels))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda network, images: paumer.load("nowhere"), "nowhere: no such folder"),
        (lambda network, images: paumer.sweep(network, images, "2:0.5"), "give a list"),
        (lambda network, images: paumer.sweep(network, images, ["4:0.5"]), "acting after block 4"),
        (lambda network, images: paumer.sweep(network, images, ["2:0.5"], criterion="oracle"), "ground truth"),
        (lambda network, images: paumer.sweep(network, images.float(), []), "give uint8"),
        (lambda network, images: paumer.sweep(network, images, [], torch.zeros(1, 32, 48).long()), "1 for 3 images"),
        (lambda network, images: paumer.sweep(network, images, [], torch.zeros(3, 9, 9).long()), "images' size"),
        (lambda network, images: paumer.measure(network, images, [], rounds=1), "rounds"),
        (lambda network, images: paumer.measure(network, images, [], batch=4), "batch: 4 of 3 images"),
        (lambda network, images: paumer.measure(network, [images[0], images[0, :, :20]], []), "of one size"),
        (lambda network, images: paumer.sweep(network, images, [], torch.full((3, 32, 48), 33)), "33 is none of the"),
        (lambda network, images: paumer.sweep(network, images, [], torch.full((3, 32, 48), -1)), "0 to 18, nor 255"),
        (lambda network, images: paumer.sweep(network, images, [], 3), "labels: int holds none"),
        (lambda network, images: paumer.sweep(network, images, [], ["a"] * 3), "labels: str; give tensors"),
        (lambda network, images: paumer.sweep(network, images, None), "schedules: 'None' is one; give a list"),
        (lambda network, images: paumer.sweep(network, images, ["2:0.5"], criterion="mood"), "no criterion 'mood'"),
        (lambda network, images: paumer.sweep(network, [], []), "images: list holds none"),
        (lambda network, images: paumer.sweep(network, None, []), "images: NoneType holds none"),
        (lambda network, images: paumer.sweep(network, [Image.new("RGB", (9, 9))], []), "images: Image; give tensors"),
        (lambda network, images: paumer.sweep(network, images.permute(0, 2, 3, 1), []), "channels come first"),
        (lambda network, images: paumer.sweep("demo", images, []), "network: str; give what load"),
        (lambda network, images: network.segment(images[:0]), r"\(0, 3, 32, 48\); give uint8, .*one or more"),
        (lambda network, images: network.segment([images[0]]), "images: list; give a tensor of uint8"),
        (lambda network, images: network.with_schedule("2:0.5", criterion="oracle"), "needs the ground truth"),
        (lambda network, images: paumer.load("demo", {"flipped": True}), "evaluation: unknown key 'flipped'"),
        (
            lambda network, images: paumer.sweep(network, images, [], labels_of(images, 255)),
            "every pixel is 255, ignored",
        ),
        (
            lambda network, images: paumer.sweep(network, images, [], labels_of(images, 0j)),
            "labels: torch.complex64; give",
        ),
        (
            lambda network, images: paumer.sweep(network, images, ["2:0.5"], criterion=3),
            "criterion: int; give its name",
        ),
        (
            lambda network, images: paumer.sweep(network, np.zeros((1, 3, 9, 9), object), []),
            "images: object; give tensors",
        ),
        (lambda network, images: network.with_schedule("2:0.5", network.strategy), "strategy: Dense; give its name"),
        (lambda network, images: network.save_pretrained(__file__), "test_api.py: is a file; name a folder"),
        (lambda network, images: paumer.scenes("3"), "scenes: '3' is no whole number"),
        (lambda network, images: paumer.load(None), "network: NoneType is no name of a folder"),
        (lambda network, images: paumer.load_segmenter(__file__), "test_api.py: is no folder"),
        (lambda network, images: paumer.Schedule(0.4), "schedule: 0.4 is none; write it like 3:0.4"),
        (lambda network, images: paumer.Segmenter.from_pretrained("nothing_here"), "nothing_here: no such folder"),
        (lambda network, images: paumer.Segmenter.from_pretrained("../a"), "../a: no such folder"),
        (lambda network, images: paumer.Segmenter.from_pretrained("demo", schedule="3:0.4"), "no option 'schedule'"),
    ],
)
def test_mistakes_are_one_line(call: Callable[..., object], words: str, network, scenes) -> None:
    with pytest.raises(PaumerError, match=words) as caught:
        call(network, scenes[0])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("evaluation", [Evaluation(flip=True), {"flip": True}])
def test_evaluation_of_ones_own(network, scenes, evaluation, tmp_path: Path) -> None:
    other = paumer.load(write_run(tmp_path), evaluation)
    assert paumer.sweep(other, scenes[0], []).gmac[0] == pytest.approx(2 * paumer.sweep(network, scenes[0], []).gmac[0])
