"""ADE20K in miniature: classes from 1 to 150, everything else ignored."""

from pathlib import Path

import miniature
import numpy as np
from PIL import Image

from paumer.config.network import Data
from paumer.data import ade20k
from paumer.data.images import read_sample
from paumer.data.loading import SegmentationData, evaluation_batches
from paumer.data.manifest import samples
from paumer.data.preparation import prepare
from paumer.system.files import read_json


def test_stage_reads_it(tmp_path: Path) -> None:
    root = miniature.ade20k(tmp_path / "ADEChallengeData2016")
    prepare(Data(dataset="ade20k", folder=str(root)), tmp_path / "data.json", threads=2)
    manifest = read_json(tmp_path / "data.json")
    assert {name: split["images"] for name, split in manifest["splits"].items()} == {"train": 3, "val": 2}
    assert (len(manifest["classes"]), manifest["classes"][0], manifest["classes"][149]) == (150, "wall", "flag")
    dataset, found = samples(tmp_path / "data.json", "train")
    for sample in found:  # one of them is grey, one CMYK
        image, label = read_sample(sample, dataset)
        raw = np.asarray(Image.open(sample.label))
        assert image.shape == (*raw.shape, 3)
        assert np.array_equal(label, np.where(raw == 0, 255, raw.astype(int) - 1))
        assert {149, 255} <= set(np.unique(label))


def test_images_of_all_sizes_make_batches(tmp_path: Path) -> None:
    root = miniature.ade20k(tmp_path / "a")
    data = SegmentationData(ade20k.DATASET, ade20k.DATASET.samples(root, "train"))
    assert [len(images) for images, _ in evaluation_batches(data, batch=2)] == [1, 1, 1]


def test_classes_are_told_apart() -> None:
    dataset = ade20k.DATASET
    assert len(set(dataset.classes)) == len(set(dataset.colours)) == 150
    # As objectInfo150.txt numbers them, from 1.
    numbers = {"building": 2, "road": 7, "chest of drawers": 45, "screen door": 59, "television": 90, "crt screen": 142}
    assert {name: dataset.classes.index(name) + 1 for name in numbers} == numbers
