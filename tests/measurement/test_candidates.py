"""Candidates for equal speed: interpolation between timed schedules, and as many of each method."""

import math
from pathlib import Path

import pandas as pd
import pytest

from paumer.config.measuring import Comparison, Method, Throughput, read_sweep
from paumer.config.network import Backbone, Decoder, Heads
from paumer.config.runs import CandidateSettings
from paumer.measurement.candidates import COLUMNS, Curve, candidates
from paumer.measurement.timing import BenchmarkSetting, Timing, Variants
from paumer.strategies.families import Family
from paumer.strategies.registry import REGISTRY, families_of, operating_point, searchable
from paumer.system.errors import PaumerError

OPTIONS = {"patch_size": 8, "embed_dim": 32, "depth": 6, "num_heads": 2}
FAMILY = Family("3:{}", most=0.9)


def test_the_amount_is_interpolated_between_timed_ones() -> None:
    curve = Curve(FAMILY, [1 / 0.8, 1 / 0.6, 1 / 0.4])  # a third of `most` saves a fifth of the time
    assert curve.schedule_at(1 / 0.7) == ("3:0.45", pytest.approx(1 / 0.7))
    assert curve.schedule_at(1 / 0.4) == ("3:0.9", pytest.approx(2.5))
    assert curve.schedule_at(2.6) is None


def test_what_saves_more_never_takes_more_time() -> None:
    curve = Curve(FAMILY, [1.3, 1.2, 2.0])
    found = [curve.schedule_at(speedup) for speedup in (1.1, 1.25, 1.5, 2.0)]
    shares = [float(schedule.removeprefix("3:")) for schedule, _ in filter(None, found)]
    assert shares == sorted(shares)
    assert len(shares) == 4


def test_schedules_that_do_not_run_are_left_out() -> None:
    curve = Curve(FAMILY, [1.25, math.nan, 2.5])
    assert curve.schedule_at(1 / 0.6) == ("3:0.6", pytest.approx(1 / 0.6))


def test_of_few_choices_the_first_that_is_fast_enough_is_taken() -> None:
    curve = Curve(Family("exit:{}", choices=(8, 6, 3)), [1.3, 1.7, 3.0])
    assert curve.schedule_at(1.5) == ("exit:6", pytest.approx(1.7))
    assert curve.schedule_at(2) == ("exit:3", pytest.approx(3.0))
    assert curve.schedule_at(4) is None


@pytest.mark.parametrize("strategy", [*searchable(), *(f"resize>{name}" for name in searchable() if name != "resize")])
def test_every_member_of_a_family_is_an_operating_point(strategy: str) -> None:
    for family in families_of(strategy, heads=(1, 2, 3, 4, 6, 8), depth=12):
        for amount in family.amounts:
            point = operating_point(strategy, "", family.at(amount))
            point.check_depth(12)
            assert not point.varies
            assert set(point.head_blocks) <= {1, 2, 3, 4, 6, 8}


def test_strategies_without_families_are_refused() -> None:
    assert set(searchable()) < set(REGISTRY)
    for strategy in ("adaptive-exit", "merge>pause"):
        with pytest.raises(PaumerError, match=f"strategy {strategy}: no parameters to search for a speed; use pause"):
            families_of(strategy, heads=(1, 3), depth=12)


def timed(variants: Variants, setting: BenchmarkSetting, protocol: Throughput) -> Timing:
    """Run every variant, and say that saving more is faster, whatever this machine does meanwhile."""
    for run in variants.values():
        run()
    rows = [
        {"schedule": label.schedule, "status": "ok", "speedup": 1.1 + 0.4 * (number % 3)}
        for number, label in enumerate(list(variants)[1:])
    ]
    return Timing([{"schedule": "dense", "status": "ok", "speedup": 1.0}, *rows], [])


@pytest.fixture(scope="module")
def table(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    methods = (
        Method(strategy="pause", criteria=("entropy", "spaced")),
        Method(strategy="early-exit", recipes=("multi-exit",)),
        Method(strategy="resize>pause"),
        Method(strategy="resize", recipes=("dense",)),
    )
    settings = CandidateSettings(
        device="cpu",
        backbones=(Backbone(name="net", architecture="vit_tiny_patch16_224", options=OPTIONS),),
        decoder=Decoder(),
        heads=Heads(blocks=(1, 2, 3)),
        recipes=("dense", "multi-exit", "paumer"),
        throughput=Throughput(batches=(2,), rounds=3, block_seconds=0.001),
        comparison=Comparison(methods=methods, speedups=(1.02, 1.2, 50), candidates=2),
    )
    path = tmp_path_factory.mktemp("candidates") / "candidates.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("paumer.measurement.candidates.measure", timed)
        candidates(settings, manifest, path)
    return path, pd.read_csv(path, keep_default_na=False)


def test_every_method_has_as_many_for_each_speed_that_it_reaches(table: tuple[Path, pd.DataFrame]) -> None:
    _, rows = table
    assert list(rows.columns) == COLUMNS
    assert set(rows["backbone"]) == {"net"}
    assert set(zip(rows["strategy"], rows["recipe"], strict=True)) == {
        ("pause", "paumer"),
        ("early-exit", "multi-exit"),
        ("resize>pause", "paumer"),
        ("resize", "dense"),
    }
    assert set(rows[rows["strategy"] == "pause"]["criterion"]) == {"entropy", "spaced"}
    sizes = rows.groupby(["strategy", "criterion", "asked_speedup"]).size()
    assert sizes.max() == 2
    assert (sizes["pause"] == 2).all()
    assert 50 not in set(rows["asked_speedup"])  # nothing is that fast
    assert (rows["predicted"] >= rows["asked_speedup"] - 1e-4).all()


def test_they_are_read_back_as_a_sweep(table: tuple[Path, pd.DataFrame]) -> None:
    path, rows = table
    points = {
        (recipe, point.strategy, point.criterion, point.schedule)
        for item in read_sweep(path, "net")
        for recipe in item.recipes
        for point in item.points()
    }
    assert points == set(rows[["recipe", "strategy", "criterion", "schedule"]].itertuples(index=False, name=None))
    assert read_sweep(path, "another") == ()


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "backbone,recipe,strategy,criterion,schedule\nnet,x,pause,,1\n"])
def test_other_files_are_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "candidates.csv"
    path.write_text(content)
    with pytest.raises(PaumerError, match=r"candidates\.csv: ") as error:
        read_sweep(path)
    assert "\n" not in str(error.value)
