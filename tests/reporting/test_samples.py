"""The picture of nine samples."""

import numpy as np
import pytest
from PIL import Image

from paumer.config.network import Data
from paumer.data.images import read_sample
from paumer.data.manifest import samples
from paumer.data.preparation import prepare
from paumer.reporting.figures.samples import GAP, WIDTH, colourise, draw_samples


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    path = tmp_path_factory.mktemp("samples") / "data.json"
    scenes = {"train_images": 4, "val_images": 1, "height": 48, "width": 96, "seed": 0}
    prepare(Data.model_validate({"dataset": "scenes", "scenes": scenes}), path, threads=1)
    return path


def test_samples_are_spread_over_the_split_with_their_labels_below(manifest, tmp_path):
    draw_samples(manifest, "train", tmp_path / "samples.png")
    picture = np.asarray(Image.open(tmp_path / "samples.png"))
    height = WIDTH // 2
    assert picture.shape == (6 * (height + GAP) - GAP, 3 * (WIDTH + GAP) - GAP, 3)
    dataset, found = samples(manifest, "train")
    for place, sample in (((0, 0), found[0]), ((2, 2), found[-1])):
        image, label = read_sample(sample, dataset)
        top, left = 2 * place[0] * (height + GAP), place[1] * (WIDTH + GAP)
        shown = picture[top : top + height, left : left + WIDTH]
        assert abs(shown.mean() - image.mean()) < 2
        below = picture[top + height + GAP :, left : left + WIDTH][:height]
        assert {*map(tuple, below.reshape(-1, 3))} <= {*map(tuple, colourise(label, dataset).reshape(-1, 3))}
