"""Datasets without a split to choose on, the parts of their training split, and the blocks of their images."""

import json
from pathlib import Path

import miniature
import pytest
from hostile import refusal
from stage import Stage

from paumer.config.base import parse
from paumer.config.network import Data
from paumer.data.catalogue import DATASETS
from paumer.data.datasets import REST, SELECT, Sample
from paumer.data.manifest import RECORD, samples, state
from paumer.data.preparation import prepare
from paumer.system.files import read_json

EVALUATED = {"idd_lite": "val", "nyuv2": "test"}


@pytest.fixture(params=EVALUATED)
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Data:
    """A dataset of which a part of `train` is for choosing."""
    name = request.param
    folder = getattr(miniature, name)(tmp_path / name)
    return Data(dataset=name, folder=str(folder), train_split=REST, eval_split=EVALUATED[name], select_split=SELECT)


def listed(data: Data, split: str) -> list[Sample]:
    return DATASETS[data.dataset].samples(Path(data.folder or ""), split)


def recorded(manifest: Path, split: str) -> list[str]:
    """The blocks in the record beside a manifest."""
    return [row[-1] for row in read_json(manifest.with_name(RECORD))["splits"][split]]


def names(found: list[Sample]) -> list[str]:
    return [sample.image.name for sample in found]


def test_parts_of_train_are_disjoint_and_complete(data: Data) -> None:
    whole, rest, select = (listed(data, split) for split in ("train", REST, SELECT))
    assert rest and select
    assert [sample for sample in whole if sample in rest or sample in select] == whole
    assert len(rest) + len(select) == len(whole)
    assert not {sample.block for sample in rest} & {sample.block for sample in select}


def test_every_ninth_sequence_of_idd_lite_is_for_choosing(tmp_path: Path) -> None:
    found = DATASETS["idd_lite"].samples(miniature.idd_lite(tmp_path, train=12), SELECT)
    # By name: 0 1 10 11 2 3 4 5 6 7 8 9
    assert [sample.block for sample in found] == ["0", "7", "7"]
    assert [sample.image.parent.name for sample in found] == ["0", "7", "7"]


def test_every_sixth_block_of_nyuv2_is_for_choosing(tmp_path: Path) -> None:
    folder, dataset = miniature.nyuv2(tmp_path, images=150), DATASETS["nyuv2"]
    numbers = (folder / "train.txt").read_text().split()
    assert names(dataset.samples(folder, SELECT)) == [f"{number}.jpg" for number in numbers[:10] + numbers[60:70]]
    assert [sample.block for sample in dataset.samples(folder, "train")] == [str(n // 10) for n in range(100)]
    assert names(dataset.samples(folder, "test"))[:2] == ["3.jpg", "6.jpg"]


def test_stage_data_prepares_the_split_to_choose_on(data: Data, tmp_path: Path) -> None:
    manifest = tmp_path / "results/data.json"
    prepare(data, manifest, threads=1)
    content = read_json(manifest)
    assert list(content["splits"]) == [REST, data.eval_split, SELECT]
    assert "notes" not in content  # of files that were left out, for instance
    found = samples(manifest, SELECT)[1]
    assert content["splits"][SELECT]["images"] == len(found)
    assert recorded(manifest, SELECT) == [sample.block for sample in found]
    assert state(data, manifest) == ""
    found[0].label.unlink()
    assert str(found[0].image) in state(data, manifest)
    assert "run the workflow again" in refusal(samples, manifest, SELECT)


def test_what_is_trained_or_reported_on_is_not_chosen_on(data: Data, tmp_path: Path) -> None:
    for split in ("train_split", "eval_split"):
        line = refusal(parse, Data, {"select_split": "mine", split: "mine"}, "data")
        assert f"select_split: is mine, and so is {split}" in line
    line = refusal(prepare, data.model_copy(update={"train_split": "train"}), tmp_path / "data.json", threads=1)
    count = len(listed(data, SELECT))
    assert line.startswith(
        f"data.select_split: {SELECT} has {count} images of train; name splits without common images"
    )
    assert line.endswith(f"such as {REST} and {SELECT}")
    line = refusal(prepare, data.model_copy(update={"select_split": "other"}), tmp_path / "data.json", threads=1)
    assert "for split 'other'; check its name" in line


def test_without_a_split_to_choose_on_the_settings_are_those_of_before() -> None:
    text = Data(dataset="camvid").model_dump_json()
    assert list(json.loads(text)) == ["dataset", "folder", "train_split", "eval_split", "scenes"]
    chosen = Data(dataset="camvid", select_split="test")
    assert Data.model_validate_json(chosen.model_dump_json()) == chosen


def test_a_list_that_is_wrong_is_named(tmp_path: Path) -> None:
    folder, dataset = miniature.nyuv2(tmp_path, images=9), DATASETS["nyuv2"]
    (folder / "train.txt").write_text("1\n77\n")
    line = refusal(dataset.samples, folder, "train")
    assert line == f"{folder / 'train.txt'}: names image '77', which {folder / 'images'} lacks; fetch it again"
    assert refusal(dataset.samples, folder, "val").startswith(f"{folder / 'val.txt'}: no such file for split 'val'")


@pytest.mark.parametrize(
    ("dataset", "image", "block"),
    [
        ("camvid", "val/0016E5_07959.png", "0016E5 26"),
        ("camvid", "val/0016E5_08099.png", "0016E5 26"),
        ("camvid", "val/0016E5_08101.png", "0016E5 27"),
        ("camvid", "test/Seq05VD_f00300.jpg", "Seq05VD 1"),
        ("camvid", "train/other.png", "other"),
        ("cityscapes", "leftImg8bit/val/frankfurt/frankfurt_000001_000538_leftImg8bit.png", "frankfurt_000001"),
        ("idd_lite", "leftImg8bit/val/119/024541_image.jpg", "119"),
    ],
)
def test_images_that_show_the_same_are_of_one_block(dataset: str, image: str, block: str) -> None:
    rule = DATASETS[dataset].block
    assert rule is not None
    assert rule(Path(image), 0) == block


def test_elsewhere_every_image_is_its_own_block(tmp_path: Path) -> None:
    stage = Stage(miniature.own(tmp_path / "own"))
    stage.prepare()
    assert recorded(stage.manifest, "val") == ["images/val/photo0.jpg", "images/val/station/photo1.png"]


def test_records_of_before_there_were_blocks_are_read(tmp_path: Path) -> None:
    stage = Stage(miniature.own(tmp_path / "own"))
    stage.prepare()
    record = read_json(tmp_path / RECORD)
    record["splits"] = {split: [row[:4] for row in rows] for split, rows in record["splits"].items()}
    (tmp_path / RECORD).write_text(json.dumps(record))
    assert state(stage.data, stage.manifest) == ""
    assert samples(stage.manifest, "val")[1][0].block == "images/val/photo0.jpg"
    (stage.folder / "labels/val/photo0.png").unlink()
    assert "photo0.jpg: it or its label was changed" in state(stage.data, stage.manifest)
