"""What pauses where, as the pictures and the viewer of the report show it."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic_maps import GRID, HEIGHT, PATCH, SCHEDULES, WIDTH, maps, pause_map, sample

from paumer.config.base import IGNORE
from paumer.config.network import Backbone, Decoder, Heads, NetworkSettings
from paumer.data.catalogue import DATASETS
from paumer.models.build import build
from paumer.reporting.figures.maps import LARGEST, PAUSED, STEPS, PauseMap, Sample, save_maps, viewer_data
from paumer.reporting.figures.maps import pause_map as look
from paumer.strategies.notation import Schedule

BACKBONE = Backbone(
    name="net",
    architecture="vit_tiny_patch16_224",
    options={"patch_size": PATCH, "embed_dim": 32, "depth": 4, "num_heads": 2},
    weights="none",
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    settings = NetworkSettings(
        backbone=BACKBONE, decoder=Decoder(), heads=Heads(blocks=(1, 2)), classes=5, image_size=(24, 48)
    )
    model = build(settings).eval()
    with torch.no_grad():
        for value in model.parameters():
            value += 0.2 * torch.randn_like(value)
    return model


def seen(model, text, **options):
    return look(model, sample(0).image, Schedule(text), **options)


def test_patches_pause_where_entropy_is_lowest_of_those_that_run(model):
    found = seen(model, "1:0.3+2:0.3")
    assert found.paused_at.shape == GRID
    assert [int((found.paused_at == number).sum()) for number in (0, 1, 2)] == [7, 5, 6]
    for number, block in enumerate((1, 2), start=1):
        running = (found.paused_at == 0) | (found.paused_at >= number)
        assert np.array_equal(np.isnan(found.entropy[block]), ~running)
        chosen = found.entropy[block][found.paused_at == number]
        left = found.entropy[block][running & (found.paused_at != number)]
        assert chosen.max() <= left.min()


def test_nothing_pauses_where_the_schedule_is_empty(model):
    found = seen(model, "dense", watched=(1, 2))
    assert list(found.entropy) == [1, 2]
    assert not any(np.isnan(values).any() for values in found.entropy.values())
    assert not found.paused_at.any()
    logits = model(sample(0).image[None])
    assert np.array_equal(found.prediction, logits[0].argmax(dim=0).numpy())


def test_entropy_before_the_first_pause_is_that_of_the_dense_network(model):
    dense, paused = seen(model, "dense", watched=(1, 2)), seen(model, "1:0.3+2:0.3")
    assert paused.entropy[1] == pytest.approx(dense.entropy[1], abs=1e-6)
    running = paused.paused_at != 1
    assert not np.allclose(paused.entropy[2][running], dense.entropy[2][running], atol=1e-6)


def decoded(uri):
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


def grid(text):
    return np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(GRID)


def test_viewer_gets_exact_classes_and_places():
    content = maps()
    assert [item["text"] for item in content["schedules"]] == ["dense", "3:0.4", "3:0.2+6:0.2"]
    first, truth = content["samples"][0], sample(0).labels.numpy()
    assert (first["width"], first["height"], first["grid"], first["patch"]) == (WIDTH, HEIGHT, list(GRID), PATCH)
    assert np.array_equal(decoded(first["truth"]), truth)
    assert decoded(first["truth"])[0, 0] == IGNORE
    for run, schedule in zip(first["runs"], SCHEDULES, strict=True):
        made = pause_map(schedule)
        assert np.array_equal(decoded(run["prediction"]), made.prediction)
        assert np.array_equal(grid(run["paused_at"]), made.paused_at)
        for block, values in made.entropy.items():
            steps = grid(run["entropy"][str(block)])
            assert np.array_equal(steps == PAUSED, np.isnan(values))
            running = ~np.isnan(values)
            assert steps[running] / STEPS == pytest.approx(values[running], abs=0.5 / STEPS)


def test_large_pictures_become_small_and_keep_their_patches():
    image = torch.zeros(3, 1024, 2048, dtype=torch.uint8)
    labels = torch.zeros(1024, 2048, dtype=torch.long)
    labels[:, 1024:] = 13
    prediction = labels.numpy().astype(np.uint8)
    run = PauseMap({3: np.zeros((64, 128))}, np.zeros((64, 128), dtype=np.uint8), prediction)
    content = viewer_data("net", [Sample("one", image, labels)], [SCHEDULES[0]], [[run]], DATASETS["scenes"])
    first = content["samples"][0]
    assert (first["width"], first["height"], first["patch"]) == (LARGEST, LARGEST // 2, 5)
    assert set(np.unique(decoded(first["truth"]))) == {0, 13}


def test_picture_is_written_for_screen_or_paper(tmp_path):
    schedule = SCHEDULES[2]
    for ending in ("png", "pdf"):
        save_maps([sample(0)], [pause_map(schedule)], schedule, DATASETS["scenes"], tmp_path / f"pause_maps.{ending}")
    width = float(re.search(rb"/MediaBox \[ 0 0 ([0-9.]+) ", (tmp_path / "pause_maps.pdf").read_bytes())[1])
    assert width / 72 * 25.4 == pytest.approx(180, abs=0.1)
    assert Image.open(tmp_path / "pause_maps.png").width > 1500
