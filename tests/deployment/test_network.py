"""Networks as folders: exported, loaded again, fetched from a hub, and not trusted."""

import json
import pickle
import re
from pathlib import Path

import miniature
import numpy as np
import pytest
import torch
from finished_runs import TUNED, write_run
from huggingface_hub import ModelCard
from loopback_hub import Hub, run_beside
from PIL import Image
from safetensors.torch import load_file, save_file

import paumer
from paumer.config.network import Data
from paumer.data.manifest import colours_now, samples, state
from paumer.data.preparation import prepare, write_colours
from paumer.deployment.card import model_card
from paumer.deployment.description import colours_of, describe_run
from paumer.deployment.images import read_picture
from paumer.models.build import load_run
from paumer.reporting.figures.samples import colourise
from paumer.strategies.contract import Dense
from paumer.strategies.pause import Pause
from paumer.system.errors import PaumerError
from paumer.system.files import read_json, write_json

CLIENT = """
import sys, torch, paumer
from safetensors.torch import save_file
model = paumer.Segmenter.from_pretrained(sys.argv[1])
with torch.inference_mode():
    save_file({"logits": model(torch.ones(1, 3, 32, 48))}, "logits.safetensors")
"""


@pytest.fixture
def exported(command, run, tmp_path) -> Path:
    """A folder that was exported from the run."""
    printed, error = command("export", "hub", run, "--output", tmp_path / "street")
    assert error == ""
    assert f"hf upload USER/NAME {tmp_path / 'street'}" in printed
    return tmp_path / "street"


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.ones(1, 3, 32, 48))


def test_a_round_trip_gives_the_same_logits(exported, run, monkeypatch) -> None:
    assert {path.name for path in exported.iterdir()} == {"model.safetensors", "config.json", "README.md"}
    monkeypatch.setattr(pickle, "load", None)
    monkeypatch.setattr(pickle, "Unpickler", None)
    monkeypatch.setattr(torch, "load", None)  # nothing is unpickled
    loaded = paumer.Segmenter.from_pretrained(exported)
    trained, _ = load_run(run)
    assert not loaded.training
    assert loaded.state_dict().keys() == trained.state_dict().keys()
    assert torch.equal(logits(loaded), logits(trained))
    pause = Pause(loaded.with_schedule("2:0.4").strategy.parameters)
    with torch.inference_mode():
        assert torch.equal(logits(loaded.with_schedule("2:0.4")), trained(torch.ones(1, 3, 32, 48), pause))
    assert isinstance(loaded.strategy, Dense)


def test_a_repository_is_fetched_through_the_hub(exported, run, hub: Hub, tmp_path) -> None:
    for path in exported.iterdir():
        hub.files[f"/someone/street/resolve/main/{path.name}"] = path.read_bytes()
    finished = run_beside(CLIENT, ["someone/street"], tmp_path, hub.endpoint)
    assert finished.returncode == 0, finished.stderr
    assert torch.equal(load_file(tmp_path / "logits.safetensors")["logits"], logits(load_run(run)[0]))


def test_description_knows_what_running_it_takes(exported, run) -> None:
    described = paumer.Segmenter.from_pretrained(exported).description
    assert described == describe_run(run)
    assert described.classes[0] == "road"
    assert described.colours[0] == (128, 64, 128)
    assert (described.evaluation.window, described.evaluation.stride) == ((32, 48), (21, 32))
    assert described.network.backbone.weights == "none"
    assert "hub" not in (exported / "config.json").read_text().replace("github", "")


def test_with_schedule_shares_the_weights_and_refuses_what_cannot_run(exported) -> None:
    model = paumer.Segmenter.from_pretrained(exported)
    faster = model.with_schedule("2:0.4", criterion="smoothed")
    assert faster.strategy.criterion_name == "smoothed"
    assert all(one is other for one, other in zip(model.parameters(), faster.parameters(), strict=True))
    assert isinstance(model.strategy, Dense)
    assert isinstance(faster.with_schedule("dense").strategy, Dense)
    with pytest.raises(PaumerError, match="no auxiliary head after block 1"):
        model.with_schedule("1:0.4")


def test_card_is_one_that_the_hub_reads(exported) -> None:
    card = ModelCard.load(exported / "README.md")
    assert card.data.library_name == "paumer"
    assert card.data.pipeline_tag == "image-segmentation"
    assert "Terms of the data: free." in card.text
    assert "Please cite: nobody." in card.text
    assert "None has been measured" in card.text
    assert ".segment(image)" in card.text


def test_card_and_config_hold_what_was_measured(command, tmp_path) -> None:
    run = write_run(tmp_path / "experiment")
    write_json(run / "tune.json", TUNED | {"finalists": []})
    _, error = command("export", "hub", run, "--output", tmp_path / "street")
    assert error == ""
    [preset] = paumer.Segmenter.from_pretrained(tmp_path / "street").description.presets
    assert (preset.schedule, preset.miou, preset.speedup) == ("2:0.5", 58.9, 1.6)
    text = (tmp_path / "street" / "README.md").read_text()
    assert 'model.with_schedule("2:0.5", criterion="smoothed").segment(image)' in text
    [row] = [line for line in text.splitlines() if "2:0.5 " in line and line.startswith("|")]
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        *("pause", "2:0.5", "smoothed", "58.90", "0.40", "12", "30", "4", "1.60"),
        "paumer tune, split train, a device",
    ]

    _, error = command("export", "hub", run, "--output", tmp_path / "street", "--no-speeds", "--note", "By *hand*.")
    assert error == ""
    model = paumer.Segmenter.from_pretrained(tmp_path / "street")
    [preset] = model.description.presets
    assert (preset.miou, preset.gmac, preset.images_per_s, preset.speedup) == (58.9, 12, None, None)
    text = (tmp_path / "street" / "README.md").read_text()
    assert "speed-up |" not in text and "1.60" not in text
    assert "## How it was made\n\nBy *hand*.\n" in text


def test_half_of_the_size_runs_as_float32(command, exported, run, tmp_path) -> None:
    _, error = command("export", "hub", run, "--output", tmp_path / "half", "--half")
    assert error == ""
    weights = "model.safetensors"
    assert (tmp_path / "half" / weights).stat().st_size < 0.6 * (exported / weights).stat().st_size
    assert {value.dtype for value in load_file(tmp_path / "half" / weights).values()} == {torch.float16}
    for half in (paumer.Segmenter.from_pretrained(tmp_path / "half"), paumer.load(tmp_path / "half")):
        assert {value.dtype for value in half.parameters()} == {torch.float32}
        assert torch.allclose(logits(half), logits(load_run(run)[0]), atol=0.05)
        assert not torch.equal(logits(half), logits(load_run(run)[0]))


def test_weights_too_large_for_half_are_named(command, tmp_path) -> None:
    run = write_run(tmp_path / "experiment")
    weights = load_file(run / "model.safetensors")
    name = next(iter(weights))
    save_file(weights | {name: weights[name] * 1e9}, run / "model.safetensors")
    _, error = command("export", "hub", run, "--output", tmp_path / "half", "--half")
    assert f"{name} is beyond the range of float16; export without --half" in error
    assert not (tmp_path / "half").exists()


def change(folder: Path, keys: str, value: object) -> None:
    content = read_json(folder / "config.json")
    *path, last = keys.split(".")
    part = content
    for key in path:
        part = part[key]
    part[last] = value
    write_json(folder / "config.json", content)


@pytest.mark.parametrize(
    ("keys", "value", "culprit"),
    [
        ("network.backbone.options.checkpoint_path", "evil.pth", "'checkpoint_path' is no part of the shape"),
        ("network.backbone.options.pretrained", True, "'pretrained' is no part of the shape"),
        ("network.backbone.weights", "evil.pth", "weights 'evil.pth' is no part of the shape"),
        ("network.backbone.architecture", "hf-hub:someone/evil", "timm has no"),
        ("classes", ["road"], "1 names"),
        ("surprise", 1, "unknown key 'surprise'"),
    ],
)
def test_what_a_description_should_not_say_is_refused(exported, keys, value, culprit) -> None:
    change(exported, keys, value)
    with pytest.raises(PaumerError, match=culprit) as caught:
        paumer.Segmenter.from_pretrained(exported)
    assert "\n" not in str(caught.value)


def test_folders_that_lack_something_are_refused(exported) -> None:
    (exported / "model.safetensors").write_bytes(b"pickled\0rubbish")
    with pytest.raises(PaumerError, match=r"model\.safetensors: weights cannot be read"):
        paumer.Segmenter.from_pretrained(exported)
    (exported / "config.json").unlink()
    with pytest.raises(PaumerError, match=r"has no config\.json"):
        paumer.Segmenter.from_pretrained(exported)


def test_exporting_replaces_an_export_and_nothing_else(command, run, exported, tmp_path) -> None:
    (exported / "README.md").write_text("old")
    _, error = command("export", "hub", run, "--output", exported)
    assert error == ""
    assert (exported / "README.md").read_text() != "old"
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("mine")
    _, error = command("export", "hub", run, "--output", tmp_path / "precious")
    assert "holds something else than an exported network" in error
    assert (tmp_path / "precious" / "file").read_text() == "mine"
    _, error = command("export", "hub", tmp_path / "precious", "--output", tmp_path / "new")
    assert f"{tmp_path / 'precious'}: holds no trained network" in error
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("verb", ["hub", "torch", "onnx", "predict"])
def test_folders_that_are_not_there_are_called_missing(command, verb, tmp_path) -> None:
    start, images = (("predict",), ("--images", tmp_path)) if verb == "predict" else (("export", verb), ())
    output = tmp_path / f"out{ {'onnx': '.onnx', 'torch': '.pt2'}.get(verb, '') }"
    _, error = command(*start, tmp_path / "nowhere", *images, "--output", output)
    assert f"{tmp_path / 'nowhere'}: no such folder; name that of a finished run" in error
    assert "or demo" in error
    (tmp_path / "weights.pth").touch()
    _, error = command(*start, tmp_path / "weights.pth", *images, "--output", output)
    assert "weights.pth: is no folder" in error
    assert not output.exists()


def test_exported_networks_need_no_data_and_know_what_was_tuned(command, exported, tmp_path) -> None:
    write_json(exported / "tune.json", TUNED)
    _, error = command("export", "hub", exported, "--output", tmp_path / "again")
    assert error == ""
    assert [preset.schedule for preset in paumer.load(tmp_path / "again").description.presets] == ["2:0.5", "scale:0.8"]
    _, error = command("export", "hub", exported, "--data", "data.json", "--output", tmp_path / "more")
    assert "knows its classes; leave --data out" in error


def test_classes_without_colours_get_different_ones(tmp_path) -> None:
    data = {"dataset": "folder", "classes": [f"class {number}" for number in range(150)]}
    differing = colours_of(data, tmp_path / "data.json")
    assert len(set(differing)) == 150
    for unfit in ({"class 0": "#ff0000"}, dict.fromkeys(data["classes"], 3), dict.fromkeys(data["classes"], "#ff00")):
        write_json(tmp_path / "colours.json", unfit)
        assert colours_of(data, tmp_path / "data.json") == differing


def test_colours_are_those_of_the_class_list(command, tmp_path) -> None:
    """In exports and predictions, as in the report, which reads the class list itself."""
    own = miniature.own(tmp_path / "own")
    names, colours = ["track", "platform", "train"], [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    (own / "classes.yaml").write_text(json.dumps({"classes": names, "colours": colours}))
    run = write_run(tmp_path / "experiment", dataset="folder", classes=names)
    prepare(Data(dataset="folder", folder=str(own)), tmp_path / "experiment" / "data.json", 1)
    _, error = command("export", "hub", run, "--output", tmp_path / "street")
    assert error == ""
    assert read_json(tmp_path / "street" / "config.json")["colours"] == colours
    image = own / "images" / "val" / "photo0.jpg"
    _, error = command("predict", run, "-i", image, "-o", tmp_path / "out", "--format", "overlay", "--format", "ids")
    assert error == ""
    ids, overlay = (np.asarray(Image.open(tmp_path / "out" / kind / "photo0.png")) for kind in ("ids", "overlay"))
    mixed = 0.45 * read_picture(image).permute(1, 2, 0).numpy() + 0.55 * np.array(colours)[ids]
    assert np.abs(overlay - mixed).max() <= 0.51
    dataset, _ = samples(tmp_path / "experiment" / "data.json", "val")
    assert (colourise(ids, dataset) == np.array(colours)[ids]).all()


def test_colours_are_those_of_now_and_without_the_dataset_those_that_were_written(tmp_path) -> None:
    own, manifest = miniature.own(tmp_path / "own"), tmp_path / "data.json"
    data = Data(dataset="folder", folder=str(own))
    prepare(data, manifest, 1)
    before, described = colours_now(data, manifest), manifest.read_bytes()
    write_colours(manifest, tmp_path / "colours.json")
    (own / "classes.yaml").write_text(
        (own / "classes.yaml").read_text() + "colours: [[1, 2, 3], [4, 5, 6], [7, 8, 9]]\n"
    )
    assert colours_of(read_json(manifest), manifest) == ((1, 2, 3), (4, 5, 6), (7, 8, 9))
    assert colours_now(data, manifest) == "#010203 #040506 #070809" != before
    assert state(data, manifest) == ""  # nothing is trained or measured again
    write_colours(manifest, tmp_path / "colours.json")
    assert read_json(tmp_path / "colours.json") == {"track": "#010203", "platform": "#040506", "train": "#070809"}
    prepare(data, manifest, 1)
    assert manifest.read_bytes() == described
    (own / "classes.yaml").unlink()
    assert colours_of(read_json(manifest), manifest) == [(1, 2, 3), (4, 5, 6), (7, 8, 9)]
    assert colours_now(data, manifest) == "#010203 #040506 #070809"


def test_names_of_classes_are_shown_as_they_are_in_the_card(tmp_path) -> None:
    names = ["a|b", "<b>road</b>", "*sky*", "[car](x)"]
    description = describe_run(write_run(tmp_path / "experiment", classes=names))
    assert r"4 classes: a\|b, \<b>road\</b>, \*sky\*, \[car](x)." in model_card(description)


def test_the_example_of_the_page_works(exported, tmp_path, monkeypatch, capsys) -> None:
    page = (Path(__file__).parents[2] / "docs" / "hub.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    Image.new("RGB", (70, 40), (90, 80, 70)).save(tmp_path / "street.png")
    monkeypatch.chdir(tmp_path)
    names = {"images": torch.ones(1, 3, 32, 48)}
    exec(example.replace("USER/NAME", str(exported)).replace("3:0.4", "2:0.4"), names)
    assert names["classes"].shape == (40, 70)
    assert names["logits"].shape == (1, 19, 32, 48)
    assert not torch.equal(names["logits"], logits(names["model"]))
