"""From a trained network to a schedule, in one command."""

import json
import re
from pathlib import Path

import miniature
import pytest
import torch
import yaml

from paumer.config.measuring import SweepItem
from paumer.config.network import Backbone, Data, Decoder, Heads, NetworkSettings
from paumer.data.preparation import prepare
from paumer.deployment.presets import TunedPoint, tuned
from paumer.deployment.settings import TuneSettings
from paumer.deployment.tuning.bench import Bench
from paumer.deployment.tuning.search import UNPAUSED, schedule_of
from paumer.models.build import build, load_run, save_weights
from paumer.models.segmenter import Segmenter
from paumer.strategies.notation import Schedule
from paumer.strategies.pause import Pause
from paumer.strategies.registry import OperatingPoint, build_strategy, operating_point, read_point
from paumer.system.errors import PaumerError
from paumer.system.files import write_json

OPTIONS = {"patch_size": 8, "embed_dim": 32, "depth": 6, "num_heads": 2}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "data.json"
    prepare(Data(scenes={"train_images": 3, "val_images": 10, "height": 64, "width": 96}), path, 1)
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Finished runs: one with heads, one with a head that nothing follows, one without."""
    folders = {}
    for recipe, heads in {"paumer": (2, 4, 6), "multi-exit": (6,), "dense": ()}.items():
        torch.manual_seed(0)
        network = NetworkSettings(
            backbone=Backbone(name="net", architecture="vit_tiny_patch16_224", options=OPTIONS),
            decoder=Decoder(name="mask_transformer"),
            heads=Heads(blocks=heads, adapter=8, context=3) if heads else None,
            classes=19,
            image_size=(32, 64),
        )
        folder = tmp_path_factory.mktemp(recipe)
        save_weights(build(network), folder / "model.safetensors")
        content = {"recipe": recipe, "seed": 0, "backbone": "net", "network": network.model_dump(mode="json")}
        write_json(folder / "run.json", content)
        folders[recipe] = folder
    return folders


@pytest.fixture
def command(command_line, manifest, runs):
    """Run `paumer tune` in this process; give what it prints, or its one line of error."""

    def run(*arguments: str, recipe: str = "paumer") -> str:
        common = ["--data", manifest, "--quick", "--threads", "1", "--device", "cpu"]
        code, printed, error = command_line.run("tune", runs[recipe], *common, *arguments)
        assert code in (0, 1)
        return error.strip().splitlines()[-1] if code else printed

    return run


def bench_of(runs: dict[str, Path], manifest: Path, **settings) -> Bench:
    return Bench(TuneSettings(speedup=1.1, device="cpu", **settings), manifest, runs["paumer"])


def test_scores_are_remembered_and_of_images_over_the_whole_split(runs, manifest, monkeypatch) -> None:
    bench = bench_of(runs, manifest)
    points = [UNPAUSED, read_point("2:0.5"), UNPAUSED]
    every = bench.score(points, 10)
    assert every[0] == every[2] != every[1]
    assert bench.drops(points) == pytest.approx([0, every[0] - every[1], 0])
    read: list[int] = []
    monkeypatch.setattr("paumer.data.loading.read_planes", lambda sample, *_: read.append(sample) or 1 / 0)
    assert bench.score(points, 10) == every
    with pytest.raises(ZeroDivisionError):
        bench.score(points, 5)
    assert read == [bench.data.samples[0]]


def test_the_demo_network_is_tuned_as_runs_are(manifest, tmp_path) -> None:
    settings = TuneSettings(speedup=1.1, device="cpu", images=2)
    bench = Bench(settings, manifest, Path("demo"))
    [unpaused] = bench.score([UNPAUSED], bench.images)
    assert 0 < unpaused <= 100
    assert 3 in bench.blocks
    prepare(Data(dataset="folder", folder=str(miniature.own(tmp_path / "own"))), tmp_path / "data.json", 1)
    with pytest.raises(PaumerError, match="demo: predicts 19 classes, and the data has 3"):
        Bench(settings, tmp_path / "data.json", Path("demo"))


def test_timing_gives_every_schedule_against_the_unpaused_network(runs, manifest) -> None:
    settings = TuneSettings(speedup=1.1, device="cpu", batch=2, throughput={"rounds": 3, "block_seconds": 0.001})
    bench = Bench(settings, manifest, runs["paumer"])
    early, late, small = (read_point(text) for text in ("2:0.8", "4:0.1", "resize scale:0.5"))
    speeds = bench.time([early, late, small, early])
    assert [speed.point for speed in speeds] == [early, late, small, early]
    assert bench.size == (64, 96)
    assert bench.unpaused_per_s > 0
    assert all(speed.speedup_low <= speed.speedup <= speed.speedup_high for speed in speeds)
    assert bench.macs(UNPAUSED) == 1 > bench.macs(late) > bench.macs(early)


@pytest.mark.parametrize("text", ["2:0.4", "resize>pause scale:0.9>2:0.4", "resize scale:0.5"])
def test_multiply_accumulates_of_smaller_inputs_are_those_of_a_sweep(runs, manifest, text) -> None:
    bench, point = bench_of(runs, manifest), read_point(text)
    with torch.inference_mode():
        [output] = bench.model.sweep(torch.randn(1, 3, *bench.size), [build_strategy(point)], count=True)
    assert bench.macs(point) * bench.unpaused_macs == pytest.approx(float(output.macs), rel=1e-12)


def test_a_drop_gives_a_schedule_that_holds_it_and_can_be_used(command, tmp_path, runs) -> None:
    path = tmp_path / "tune.json"
    printed = command("--max-drop", "100", "--images", "4", "--split", "val", "--output", str(path))
    content = json.loads(path.read_text(encoding="utf-8"))
    first, schedule = printed.splitlines()[0], Schedule(printed.splitlines()[0])
    assert content["schedule"] == first == str(schedule)
    assert {row["strategy"] for row in [content, *content["finalists"]]} <= {"pause", "dense"}
    assert content["drop"] == pytest.approx(content["unpaused"]["miou"] - content["miou"])
    assert (content["images"], content["images_of_split"], content["split"]) == (4, 10, "val")
    assert first in [row["schedule"] for row in content["finalists"]] or first == "dense"
    assert len(content["finalists"]) == 4
    assert content["timed"]["batch"] == 1
    assert content["timed"]["size"] == [64, 96]
    assert "of the 10 images of split val" in printed
    assert all(row["schedule"] in printed for row in content["finalists"])


def test_a_speed_that_needs_no_pausing_gives_dense(command) -> None:
    printed = command("--images-per-second", "0.001")
    assert printed.splitlines()[0] == "dense"
    assert "--images-per-second 0.001: met without pausing" in printed
    assert "Pause(" not in printed


def test_a_drop_that_nothing_holds_gives_dense(command, monkeypatch) -> None:
    monkeypatch.setattr(Bench, "drops", lambda self, points: [1.0 for _ in points])
    printed = command("--max-drop", "0.5", "--locations", "1")
    assert printed.splitlines()[0] == "dense"
    assert "--max-drop 0.5: no schedule holds, so nothing pauses" in printed


def speedup_of(bench: Bench, point: OperatingPoint) -> float:
    return 1 / (0.2 + 0.8 * bench.macs(point) + 0.01 * len(schedule_of(point).locations))


def be_device(monkeypatch, short: float) -> None:
    """A device whose times follow a law, those of few rounds off by a factor: those of timing are not for tests."""

    def time(self, points, longer=1) -> list[TunedPoint]:
        self.unpaused_per_s = 100.0
        return [timed(self, point, speedup_of(self, point) * (short if longer == 1 else 1)) for point in points]

    def timed(bench: Bench, point: OperatingPoint, speedup: float) -> TunedPoint:
        speed = {"images_per_s": 100 * speedup, **dict.fromkeys(("speedup", "speedup_low", "speedup_high"), speedup)}
        return TunedPoint(**point.label._asdict(), **speed, gmac_ratio=bench.macs(point))

    monkeypatch.setattr(Bench, "time", time)


@pytest.fixture
def exact(monkeypatch) -> None:
    """A device whose times are exact."""
    be_device(monkeypatch, short=1.0)


def test_what_short_times_chose_meets_the_budget_in_longer_ones(command, monkeypatch, tmp_path, runs, manifest) -> None:
    be_device(monkeypatch, short=0.95)
    command("--speedup", "1.2", "--images", "4", "--output", str(tmp_path / "tune.json"))
    content = json.loads((tmp_path / "tune.json").read_text(encoding="utf-8"))
    bench, schedules = bench_of(runs, manifest), [row["schedule"] for row in content["finalists"]]
    law = {text: speedup_of(bench, read_point(text)) for text in schedules}
    assert content["speedup"] == pytest.approx(law.pop(content["schedule"]))
    assert 0.99 * 1.2 <= content["speedup"] <= 1.015 * 1.2
    assert all(speedup > 1.03 * 1.2 for speedup in law.values())  # what was not chosen is as the short times left it


@pytest.mark.parametrize("budget", [["--speedup", "1.2"], ["--images-per-second", "120"]])
def test_a_speed_gives_the_most_accurate_finalist_that_reaches_it(command, exact, tmp_path, budget) -> None:
    path = tmp_path / "tune.json"
    printed = command(*budget, "--images", "4", "--output", str(path))
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["budget"] == f"{' '.join(budget)}: met"
    assert 0.99 * 1.2 <= content["speedup"] <= 1.015 * 1.2
    meeting = [row for row in content["finalists"] if row["speedup"] >= 0.99 * 1.2]
    assert content["miou"] == max(row["miou"] for row in meeting)
    assert Schedule(printed.splitlines()[0]).blocks


def test_what_is_printed_can_be_used(command, exact, runs) -> None:
    printed = command("--speedup", "1.2", "--images", "4", "--criterion", "margin")
    [item] = yaml.safe_load(re.search(r"sweep: (.*)", printed)[1])
    [point] = SweepItem.model_validate(item).points()
    assert (point.schedule, point.criterion) == (printed.splitlines()[0], "margin")
    model, _ = load_run(runs["paumer"])
    names = {"model": model, "images": torch.randn(1, 3, 64, 96), "Pause": Pause, "Schedule": Schedule}
    exec(re.search(r"in Python +(.*)", printed)[1], names)
    assert names["logits"].shape == (1, 19, 64, 96)


def test_smaller_inputs_are_searched_where_asked_and_can_be_used(command, exact, runs, tmp_path) -> None:
    path = tmp_path / "tune.json"
    printed = command("--speedup", "3", "--images", "4", "--scales", "0.6,0.5", "--output", str(path))
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = [content, *content["finalists"]]
    assert content["schedule"].startswith(("scale:0.6", "scale:0.5"))
    assert {row["strategy"] for row in rows} <= {"resize", "resize>pause"}
    assert any(row["strategy"] == "resize>pause" for row in rows)
    [item] = yaml.safe_load(re.search(r"sweep: (.*)", printed)[1])
    [point] = SweepItem.model_validate(item).points()
    assert (point.strategy, point.schedule) == (content["strategy"], content["schedule"])
    model, _ = load_run(runs["paumer"])
    names = {
        "model": model,
        "images": torch.randn(1, 3, 64, 96),
        "build_strategy": build_strategy,
        "operating_point": operating_point,
    }
    exec(re.search(r"in Python +(.*)", printed)[1], names)
    assert names["logits"].shape == (1, 19, 64, 96)
    assert next(preset.point for preset in tuned(tmp_path)) == point


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "give exactly one of --speedup, --max-drop and --images-per-second"),
        (["--speedup", "2", "--max-drop", "1"], "give exactly one of"),
        (["--speedup", "1"], "speedup: input should be greater than 1"),
        (["--max-drop", "-1"], "max_drop: input should be greater than or equal to 0"),
        (["--speedup", "2", "--scales", "1,2"], "'2' is no scale above 0 and up to 1"),
        (["--speedup", "2", "--scales", ""], "'' is no scale above 0"),
        (["--speedup", "2", "--images", "0"], "images: input should be greater than or equal to 1"),
        (["--speedup", "2", "--criterion", "oracle"], "use entropy, confidence, margin"),
        (["--speedup", "2", "--split", "test"], "describes train, val; name one of them"),
        (["--speedup", "2", "--evaluation", "{inference: tiles}"], "inference"),
        (["--speedup", "2000"], "--speedup 2000: out of reach here; the most is "),
    ],
)
def test_mistakes_are_one_line(command, arguments, expected, tmp_path) -> None:
    line = command(*arguments, "--output", str(tmp_path / "tune.json"))
    assert line.startswith("paumer: error: ")
    assert expected in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("recipe", ["dense", "multi-exit"])
def test_a_network_without_a_head_to_pause_by_names_the_recipe(command, recipe) -> None:
    line = command("--speedup", "1.5", recipe=recipe)
    assert f"recipe {recipe} has no auxiliary head before its last block" in line
    assert "train recipe paumer" in line


def test_a_batch_too_large_for_the_device_is_an_error(runs, manifest, monkeypatch) -> None:
    def full(*arguments):
        raise torch.OutOfMemoryError

    bench = bench_of(runs, manifest, batch=3)
    monkeypatch.setattr(Segmenter, "forward", full)
    with pytest.raises(PaumerError, match="--batch 3: does not fit into the memory"):
        bench.time([])
