"""`paumer predict` from images to files."""

import contextlib
import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling
from cityscapesscripts.helpers.labels import labels as official_labels
from finished_runs import TUNED, write_run
from PIL import Image

from paumer.config.measuring import Evaluation
from paumer.config.network import Data
from paumer.data.catalogue import described_folder
from paumer.data.loading import SegmentationData
from paumer.data.manifest import samples
from paumer.data.preparation import prepare
from paumer.deployment.images import read_picture
from paumer.deployment.network import load
from paumer.evaluation.evaluate import evaluate_split, mean_iou
from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Dense
from paumer.system.files import read_json, write_json

SIZES = {"a.png": (32, 48), "b.png": (32, 48), "deep/c.jpg": (40, 72), "tiny.png": (12, 9)}
WHOLE = "{inference: whole, batch: 2}"


@pytest.fixture
def images(tmp_path) -> Path:
    """A folder of images of several sizes."""
    generator = np.random.default_rng(0)
    for name, size in SIZES.items():
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
    return tmp_path / "images"


@pytest.fixture
def predict(command, run, images, tmp_path):
    """Predict the folder of images into `out`, in one thread: what is printed, the error, and where files lie."""

    def call(*options: object, folder: Path = run, source: Path = images) -> tuple[str, str, Path]:
        out, error = command("predict", folder, "-i", source, "-o", tmp_path / "out", "--threads", 1, *options)
        return out, error, tmp_path / "out"

    return call


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("evaluation", [None, WHOLE], ids=["windows of the crop", "whole"])
@pytest.mark.parametrize("schedule", ["dense", "2:0.4"])
def test_ids_are_what_the_network_segments(predict, run, images, evaluation, schedule) -> None:
    options = ["--evaluation", evaluation] if evaluation else []
    printed, error, out = predict("--format", "ids", "--schedule", schedule, *options)
    assert error == ""
    stems = [str(Path(name).with_suffix(".png")) for name in SIZES]
    assert names(out) == {"predict.json", *(f"ids/{stem}" for stem in stems)}
    network = load(run, evaluation=Evaluation(inference="whole") if evaluation else None)
    network = network.with_schedule(schedule)
    for name, stem in zip(SIZES, stems, strict=True):
        predicted = pixels(out / "ids" / stem)
        expected = network.segment(read_picture(images / name)).numpy()
        assert predicted.shape == SIZES[name]
        assert (predicted == expected).mean() > 0.999
    assert "4 images in" in printed
    assert "images/s; network" in printed


def test_overlays_mix_image_and_class_colours(predict, run, images) -> None:
    _, error, out = predict("--format", "overlay", "--format", "ids")
    assert error == ""
    palette = np.array(load(run).description.colours)
    for name in ("a.png", "deep/c.png"):
        source = read_picture(images / ("deep/c.jpg" if "deep" in name else name)).permute(1, 2, 0).numpy()
        mixed = 0.45 * source + 0.55 * palette[pixels(out / "ids" / name)]
        assert np.abs(pixels(out / "overlay" / name) - mixed).max() <= 0.51


def test_official_evaluator_reads_predictions_and_agrees_on_miou(predict, tmp_path) -> None:
    """From files to files: paumer's evaluation of the network, and Cityscapes' of what it predicted."""
    manifest = tmp_path / "experiment" / "data.json"
    prepare(Data(scenes={"train_images": 1, "val_images": 3, "height": 48, "width": 80}), manifest, 1)
    described = read_json(manifest)
    run = write_run(tmp_path / "experiment")
    write_json(manifest, described)
    folder = described_folder(manifest, described["folder"])
    options = ["--format", "cityscapes", "--pause-maps", "--schedule", "2:0.4"]
    _, error, out = predict(*options, folder=run, source=folder / "leftImg8bit" / "val")
    assert error == ""
    official = evalPixelLevelSemanticLabeling
    arguments = official.args
    arguments.evalLabels = [label.id for label in official_labels if label.id >= 0]
    arguments.evalInstLevelScore, arguments.JSONOutput, arguments.quiet = False, False, True
    arguments.predictionPath, arguments.predictionWalk = str(out / "cityscapes"), None
    truths = [str(path) for path in sorted((folder / "gtFine" / "val").glob("*/*_labelIds.png"))]
    found = [official.getPrediction(arguments, truth) for truth in truths]
    assert len(set(found)) == 3
    with contextlib.redirect_stdout(io.StringIO()):
        results = official.evaluateImgLists(found, truths, arguments)
    network = load(run).with_schedule("2:0.4")
    data = SegmentationData(*samples(manifest, "val"))
    ours, dense = evaluate_split(network, data, [network.strategy, Dense()], network.evaluation)
    assert mean_iou(ours.matrix) == pytest.approx(100 * results["averageScoreClasses"], abs=1e-6)
    assert not torch.equal(ours.matrix, dense.matrix)


def test_pause_maps_colour_the_patches_that_pause(predict, images) -> None:
    _, error, out = predict("--pause-maps", "--schedule", "2:0.25+3:0.25", "--evaluation", WHOLE)
    assert error == ""
    picture = pixels(out / "pause-maps" / "a.png")[:32].astype(int)  # a legend is below
    coloured = (picture.max(axis=2) != picture.min(axis=2)).reshape(4, 8, 6, 8).mean(axis=(1, 3))
    assert ((coloured < 0.01) | (coloured > 0.9)).all()  # whole patches
    assert (coloured > 0.5).sum() == 12
    orange = picture[..., 0] - picture[..., 2] > 20
    blue = picture[..., 2] - picture[..., 0] > 20
    assert orange.mean() == pytest.approx(0.25, abs=0.01)
    assert blue.mean() == pytest.approx(0.25, abs=0.01)


def test_pauses_of_overlapping_windows_are_averaged(predict) -> None:
    windows = "{inference: sliding, window: [32, 48], stride: [8, 24]}"
    _, error, out = predict("--pause-maps", "--schedule", "2:0.4", "--evaluation", windows)
    assert error == ""
    picture = pixels(out / "pause-maps" / "deep" / "c.png").astype(int)
    assert picture.shape == (40 + 20, 72, 3)
    saturation = (picture[:40].max(axis=2) - picture[:40].min(axis=2)).reshape(5, 8, 9, 8).mean(axis=(1, 3))
    levels = {int(value) // 12 for value in saturation.flatten()}
    assert len(levels) > 2  # paused in none, in some, in all of its windows


def test_comparisons_show_cost_and_difference(predict, monkeypatch) -> None:
    titles = []
    from paumer.deployment import predict as module

    original = module.side_by_side
    monkeypatch.setattr(module, "side_by_side", lambda panels, texts: titles.append(texts) or original(panels, texts))
    _, error, out = predict("--compare", "dense, 2:0.4,merge 1-3:0.1")
    assert error == ""
    assert names(out) == {"predict.json", *(f"compare/{Path(name).with_suffix('.png')}" for name in SIZES)}
    first = titles[0]
    assert first[0] == "image"
    assert [title.split(":")[0] for title in first[1:]] == ["dense", "2", "merge 1-3"]
    costs = [float(title.split(" GMAC")[0].split()[-1]) for title in first[1:]]
    assert costs[0] > costs[1]
    assert "of pixels differ" in first[2]
    height, width = pixels(out / "compare" / "a.png").shape[:2]
    assert width == 4 * 48 + 3 * 4
    assert height > 32


@pytest.mark.parametrize(
    "shortage",
    [
        MemoryError("Unable to allocate 7 GiB"),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
        ),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_image_that_does_not_fit_costs_only_itself(predict, images, monkeypatch, shortage) -> None:
    """Nor does a batch that does not fit, whose images do."""
    shapes, original = [], Segmenter.sweep

    def sweep(self, crops, *arguments, **options):
        shapes.append(tuple(crops.shape))
        if crops.shape[0] > 1 or crops.shape[-1] == 72:
            raise shortage
        return original(self, crops, *arguments, **options)

    monkeypatch.setattr(Segmenter, "sweep", sweep)
    _, error, out = predict("--evaluation", WHOLE)
    assert f"1 of 4 images were not predicted: {images / 'deep' / 'c.jpg'}: does not fit into the memory" in error
    assert names(out / "overlay") == {"a.png", "b.png", "tiny.png"}
    assert shapes[:3] == [(2, 3, 32, 48), (1, 3, 32, 48), (1, 3, 32, 48)]


def test_other_errors_are_no_lack_of_memory(predict, monkeypatch) -> None:
    def broken(self, *arguments, **options):
        raise RuntimeError("a bug")

    monkeypatch.setattr(Segmenter, "sweep", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        predict()


def test_a_second_run_does_only_what_is_left(predict, images) -> None:
    _, _, out = predict()
    written = {name: (out / "overlay" / name).stat().st_mtime_ns for name in names(out / "overlay")}
    (out / "overlay" / "a.png").unlink()
    os.utime(images / "b.png", (4e9, 4e9))  # an image that has changed since
    os.utime(images / "tiny.png", (1, 1))  # and one in whose place an older one was put
    printed, _, _ = predict()
    assert "1 of 4 images were finished before" in printed
    again = {name: (out / "overlay" / name).stat().st_mtime_ns for name in names(out / "overlay")}
    assert {name for name in written if again[name] != written[name]} == {"a.png", "b.png", "tiny.png"}
    printed, _, _ = predict("--schedule", "2:0.4")  # asked for something else: all anew
    assert "finished before" not in printed
    assert "4 images in" in printed


def test_speedup_takes_what_was_tuned(predict, tmp_path) -> None:
    run = write_run(tmp_path / "experiment")
    write_json(run / "tune.json", TUNED)
    printed, error, _ = predict("--speedup", 1.5, folder=run)
    assert error == ""
    assert "--speedup 1.5: pause 2:0.5 (paumer tune, split train, a device)" in printed


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        (["--schedule", "2:0.4", "--speedup", "2"], "--schedule or --speedup, not both"),
        (["--speedup", "2"], "paumer tune"),
        (["--schedule", "2:1.4"], "2:1.4"),
        (["--schedule", "1:0.4"], "no auxiliary head after block 1"),
        (["--schedule", "4:0.4"], "network of 4 blocks"),
        (["--schedule", "2:0.4", "--criterion", "oracle"], "needs the ground truth"),
        (["--strategy", "merge", "--schedule", "1-3:0.1", "--pause-maps"], "--pause-maps: strategy merge"),
        (["--pause-maps"], "--pause-maps: strategy dense pauses no patches"),
        (["--compare", "2:0.4"], "--compare 2:0.4: name two or more"),
        (["--compare", "dense,3:2"], "3:2"),
        (["--format", "pdf"], "formats"),
        (["--format", "cityscapes"], "needs names like CITY_SEQUENCE_FRAME"),
        (["--evaluation", "{windw: 3}"], "windw"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--data", "nowhere.json"], "nowhere.json: no such file"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(predict, options, culprit) -> None:
    _, error, out = predict(*options)
    assert culprit in error
    assert not out.exists()


def test_classes_of_another_dataset_have_no_cityscapes_ids(predict, tmp_path) -> None:
    _, error, _ = predict("--format", "cityscapes", folder=write_run(tmp_path / "experiment", dataset="camvid"))
    assert "the classes of camvid are not those of Cityscapes" in error


def test_a_run_outside_of_its_experiment_must_be_told_its_data(predict, run, tmp_path) -> None:
    alone = tmp_path / "alone" / "run"
    alone.mkdir(parents=True)
    for name in ("run.json", "model.safetensors"):
        (alone / name).write_bytes((run / name).read_bytes())
    _, error, _ = predict(folder=alone)
    assert "name that of its data with --data" in error
    _, error, out = predict("--data", run.parents[3] / "data.json", folder=alone)
    assert error == ""
    assert (out / "overlay" / "a.png").is_file()


def test_names_that_would_collide_and_folders_within_are_refused(command, predict, run, images) -> None:
    (images / "a.jpg").write_bytes((images / "a.png").read_bytes())
    _, error, out = predict()
    assert "both would be written to a.png" in error
    assert not out.exists()
    (images / "a.jpg").unlink()
    _, error = command("predict", run, "-i", images, "-o", images / "out")
    assert "lies in the folder of the images" in error
    assert not (images / "out").exists()


def test_what_cannot_be_written_is_one_line_and_what_was_finished_stays(
    predict, command, run, images, tmp_path
) -> None:
    (tmp_path / "out" / "overlay").mkdir(parents=True)
    (tmp_path / "out" / "overlay" / "deep").touch()  # where a folder must be
    _, error, out = predict()
    assert "deep" in error
    assert "cannot be written" in error
    assert {"a.png", "b.png"} <= names(out / "overlay")
    assert not [name for name in names(out) if ".part" in name]
    (tmp_path / "file").touch()
    _, error = command("predict", run, "-i", images, "-o", tmp_path / "file")
    assert "is a file; name a folder" in error


def test_an_experiment_says_how_images_are_seen(predict, tmp_path) -> None:
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text("backbones: []\nevaluation: {inference: whole, short_side: 24}\n")
    _, error, out = predict("--evaluation", experiment)
    assert error == ""
    seen = read_json(out / "predict.json")["evaluation"]
    assert (seen["inference"], seen["short_side"]) == ("whole", 24)
