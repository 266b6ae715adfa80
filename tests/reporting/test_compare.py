"""What changed between two runs: planted losses are found each time, and a rerun is none, however noisy."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import CommandLine
from tiers import first

from paumer.evaluation.confusions import NAME
from paumer.measurement.changes import Change, error_over_seeds, losses
from paumer.reporting.compare import compare
from paumer.system.files import read_json, write_json
from results import Results, write_results

PAUSE, MERGE = ("pause", "1:0.4"), ("merge", "1-8:0.06")
TIMES = 20


def found(folder: Path, before: Results, after: Results) -> list[str]:
    """The losses between two runs."""
    one, other = write_results(folder / "before", before), write_results(folder / "after", after)
    return compare(one, other, max_drop=0.3, max_slowdown=0.03)[0]


def reruns(folder: Path, of: Callable[[int], Results], changed: Callable[[int], Results]) -> list[list[str]]:
    """The losses in `TIMES` pairs of runs, all with chance of their own."""
    return [found(folder / str(time), of(2 * time), changed(2 * time + 1)) for time in range(TIMES)]


def test_half_a_point_is_found_each_time(tmp_path: Path) -> None:
    planted = {PAUSE: 0.5}
    results = reruns(tmp_path, lambda time: Results(chance=time), lambda time: Results(chance=time, losses=planted))
    for lines in results:
        assert len(lines) == 2, lines  # both criteria
        assert all(line.startswith("loss: accuracy of net paumer/pause/") and " 1:0.4 fell " in line for line in lines)


def test_five_percent_of_speed_are_found_each_time(tmp_path: Path) -> None:
    planted = {MERGE: 0.05}
    results = reruns(tmp_path, lambda time: Results(chance=time), lambda time: Results(chance=time, slower=planted))
    for lines in results:
        assert len(lines) == 2, lines  # both batches
        assert all(line.startswith("loss: speed-up of net merge 1-8:0.06 (float32, eager, logits") for line in lines)


@pytest.mark.parametrize("noise", first([{}, {"trained": 0.3, "jitter": 0.04}, {"seeds": (0,)}, {"rounds": 9}], 2))
def test_a_rerun_is_no_loss(tmp_path: Path, noise: dict) -> None:
    results = reruns(tmp_path, *[lambda time: Results(chance=time, **noise)] * 2)
    assert results == [[]] * TIMES


def test_gains_are_no_losses(tmp_path: Path) -> None:
    assert found(tmp_path, Results(losses={PAUSE: 0.5}, slower={MERGE: 0.05}), Results(chance=1)) == []


def test_seeds_alone_find_a_loss(tmp_path: Path) -> None:
    one, other = write_results(tmp_path / "a", Results()), write_results(tmp_path / "b", Results(losses={PAUSE: 1.0}))
    for path in other.glob(f"runs/*/*/*/{NAME}"):
        path.unlink()
    assert len(compare(one, other, 0.3, 0.03)[0]) == 2


def test_noise_of_one_seed_without_images_is_unknown(tmp_path: Path) -> None:
    folders = [
        write_results(tmp_path / name, Results(seeds=(0,), losses=lost))
        for name, lost in (("a", {}), ("b", {PAUSE: 9}))
    ]
    for path in folders[1].glob(f"runs/*/*/*/{NAME}"):
        path.unlink()
    lines, summary = compare(*folders, 0.3, 0.03)
    assert lines == []
    assert f"noise unknown for 21, which have one seed and no {NAME}" in summary


def test_more_gmac_is_a_loss(tmp_path: Path) -> None:
    folders = [write_results(tmp_path / name, Results()) for name in ("a", "b")]
    for folder, gmac in zip(folders, (10.0, 10.2), strict=True):
        keys = {"backbone": "net", "decoder": "linear", "strategy": "pause", "schedule": "1:0.4"}
        rows = [
            keys | {"height": 96, "width": 192, "gmac_total": gmac},
            keys | {"height": 48, "width": 96, "gmac_total": 3.0},
        ]
        pd.DataFrame(rows).to_csv(folder / "flops.csv", index=False)
    lines, _ = compare(*folders, 0.3, 0.03)
    assert lines == ["loss: GMAC of net pause 1:0.4 (96 x 192) rose from 10 to 10.2, by 2.0%"]


def test_the_verb_fails_on_a_loss_alone(tmp_path: Path, command_line: CommandLine) -> None:
    one = write_results(tmp_path / "a", Results())
    same, worse = (
        write_results(tmp_path / "b", Results(chance=1)),
        write_results(tmp_path / "c", Results(losses={PAUSE: 1})),
    )
    code, printed, _ = command_line.run("compare", one, same)
    assert code == 0 and printed.startswith(f"{one} to {same}: compared 21 operating points, ")
    assert command_line.refuse("compare", one, worse).startswith(f"{worse}: 2 losses beyond noise, named above")
    assert command_line.run("compare", one, worse, "--max-drop", 2)[0] == 0


def test_runs_that_do_not_compare_are_refused(tmp_path: Path, command_line: CommandLine) -> None:
    one = write_results(tmp_path / "a", Results())
    data = write_results(tmp_path / "data", Results(data="other"))
    assert "measured on different data" in command_line.refuse("compare", one, data)
    steps = write_results(tmp_path / "steps", Results(steps=200))
    line = command_line.refuse("compare", one, steps)
    assert line.startswith(f"{steps}/runs/net/dense/seed0/run.json: settings.phase.steps is not that of {one}/runs/")
    apart = write_results(tmp_path / "apart", Results(seeds=(7,), device="another"))
    assert f"{apart}: shares neither an operating point with a seed nor a timing with {one}" in command_line.refuse(
        "compare", one, apart
    )
    record = one / "runs/net/dense/seed0/run.json"
    write_json(record, {name: value for name, value in read_json(record).items() if name != "settings"})
    assert "run.json: has no key 'settings'" in command_line.refuse("compare", one, steps)
    assert "none: no such folder" in command_line.refuse("compare", one, tmp_path / "none")


def test_holm_looks_at_all_changes_together() -> None:
    alone = Change("a", worse=3.5, error=1.0, margin=1.0)
    assert losses([alone]) == [alone]
    quiet = [Change(str(number), 0.0, 1.0, 1.0) for number in range(20)]
    assert losses([*quiet, alone]) == []
    sure = Change("b", 6.0, 1.0, 1.0)
    assert losses([sure, *quiet]) == [sure]
    assert losses([Change("c", 0.9, 0.01, 1.0), Change("d", 9.0, float("nan"), 1.0)]) == []


@pytest.mark.parametrize(("seeds", "rate"), [(2, 0.06), (3, 0.03), (5, 0.02)])
@pytest.mark.parametrize("spread", [0.1, 0.3, 0.7])
def test_reruns_seldom_raise_an_alarm_however_noisy_seeds_are(seeds: int, rate: float, spread: float) -> None:
    """12 operating points of one network, whose changes are alike; the margin is 0.3."""
    random, alarms, times = np.random.default_rng(0), 0, 500
    for _ in range(times):
        network = random.normal(0, 0.95 * spread, seeds)
        points = [network + random.normal(0, 0.3 * spread, seeds) for _ in range(12)]
        errors = error_over_seeds(points)
        pairs = enumerate(zip(points, errors, strict=True))
        alarms += bool(losses([Change(str(at), float(point.mean()), error, 0.3) for at, (point, error) in pairs]))
    assert alarms / times <= 1.3 * rate  # the rate of 500 reruns is off by chance, too


def test_no_spread_over_few_seeds_counts_for_less_than_the_others() -> None:
    errors = error_over_seeds([np.array([1.0, 1.0]), np.array([0.0, 2.0]), np.array([1.0])])
    assert errors == pytest.approx([0.5**0.5, 1.0, 1.0])
    assert error_over_seeds([np.array([1.0])]) == [0.0]
