"""The governor: its controller under simulated loads, and what it runs on networks."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from finished_runs import TUNED, write_run
from hypothesis import given
from hypothesis import strategies as st
from tiers import exhaustive

import paumer
from paumer.deployment.governor import MOST_PATIENCE, PATIENCE, SPARE, Controller, Governor
from paumer.deployment.presets import Preset, accuracies
from paumer.strategies.registry import OperatingPoint, read_point
from paumer.system.errors import PaumerError
from paumer.system.files import write_json

LIMIT = 0.033
EXPECTED = tuple(0.030 * 0.85**number for number in range(10))  # seconds of points, down to 7 ms
SETTLED = 5  # frames after a change of the load


def simulate(
    loads: Iterable[float], noise: float = 0.0, expected: Sequence[float] = EXPECTED, seed: int = 0
) -> list[tuple[int, bool]]:
    """The position of every frame and whether it was late; noise is a standard deviation, as a share."""
    drawn, controller, frames = random.Random(seed), Controller(expected, LIMIT), []
    for load in loads:
        seconds = expected[controller.position] * load * max(0.5, drawn.gauss(1, noise))
        frames.append((controller.position, seconds > LIMIT))
        controller.observe(seconds)
    return frames


def late_share(frames: Sequence[tuple[int, bool]]) -> float:
    return sum(late for _, late in frames) / len(frames)


def switches(frames: Sequence[tuple[int, bool]]) -> int:
    return sum(one != other for (one, _), (other, _) in pairwise(frames))


def most_accurate(load: float, spare: float = SPARE) -> int:
    return next(place for place, seconds in enumerate(EXPECTED) if (1 + spare) * load * seconds <= LIMIT)


LOADS = st.floats(0.5, 3.5)  # the fastest point meets the time under all of them
NOISE = st.sampled_from([0.0, 0.02, 0.05])


@given(LOADS, LOADS, NOISE, st.integers(0, 1000))
def test_after_a_step_of_the_load_frames_meet_the_time(before: float, after: float, noise: float, seed: int) -> None:
    frames = simulate([before] * 60 + [after] * 105, noise, seed=seed)
    assert late_share(frames[60 + SETTLED :]) <= 0.05


@given(LOADS, LOADS)
def test_the_most_accurate_point_that_meets_the_time_is_reached_and_kept(before: float, after: float) -> None:
    frames = simulate([before] * 60 + [after] * (PATIENCE + 100))
    assert {position for position, _ in frames[-99:]} == {most_accurate(after)}


@given(LOADS, NOISE, st.integers(0, 1000))
def test_a_constant_load_is_left_alone(load: float, noise: float, seed: int) -> None:
    frames = simulate([load] * 1500, noise, seed=seed)
    assert switches(frames[500:]) <= 20
    assert late_share(frames[500:]) <= 0.02
    mean = sum(position for position, _ in frames[500:]) / 1000
    assert most_accurate(load) - 0.01 <= mean <= most_accurate(load, spare=SPARE + 5 * noise) + 1


@given(st.floats(0.5, 1.5), st.integers(0, 1000))
def test_a_slow_drift_costs_a_frame_for_every_point_on_the_way(load: float, seed: int) -> None:
    frames = simulate([load * (1 + number / 600) for number in range(600)] + [2 * load] * 100, 0.02, seed=seed)
    assert late_share(frames) <= 0.05
    assert frames[-1][0] - most_accurate(2 * load) in (0, 1, 2)


def test_a_late_frame_is_answered_at_once_and_a_free_device_after_a_while() -> None:
    positions = [position for position, _ in simulate([1.0] * 50 + [2.0] * 50 + [1.0] * 50)]
    assert positions[:51] == [0] * 51
    assert positions[51:100] == [most_accurate(2.0)] * 49
    assert positions[100 + PATIENCE] == 0 and 0 not in positions[100 : 99 + PATIENCE]


def test_a_single_late_frame_costs_accuracy_for_a_short_time() -> None:
    frames = simulate([8.0 if number % 100 == 50 else 1.0 for number in range(2000)])
    assert late_share(frames) == 0.01
    assert sum(position == 0 for position, _ in frames) == 2000 - 20 * PATIENCE


def test_a_point_that_is_slower_than_expected_is_tried_ever_more_seldom() -> None:
    controller, late = Controller(EXPECTED, LIMIT), []
    for number in range(3000):
        seconds = EXPECTED[controller.position] * (1.3 if controller.position == 0 else 1.0)
        late += [number] if seconds > LIMIT else []
        controller.observe(seconds)
    assert controller.patience == MOST_PATIENCE
    waits = [after - before for before, after in pairwise(late)]
    assert waits == sorted(waits) and waits[0] < 2 * PATIENCE and waits[-1] >= MOST_PATIENCE


def test_where_no_point_meets_the_time_the_fastest_runs() -> None:
    frames = simulate([20.0] * 100)
    assert {position for position, _ in frames[1:]} == {len(EXPECTED) - 1} and late_share(frames) == 1
    assert Controller(EXPECTED, 0.001).position == len(EXPECTED) - 1


@pytest.fixture
def network() -> paumer.Segmenter:
    return paumer.load("demo")


@pytest.fixture
def frames() -> torch.Tensor:
    return paumer.scenes(3, seed=1, height=48, width=64).images


def alike(labels: torch.Tensor, others: torch.Tensor) -> bool:
    """Whether labels are the same but for rounding."""
    return labels.shape == others.shape and (labels == others).double().mean().item() > 0.999


@pytest.mark.parametrize(
    "evaluation", [{"flip": True}, {"inference": "sliding", "window": [32, 32], "stride": [16, 32]}]
)
def test_windows_and_views_are_those_of_the_evaluation(frames, evaluation) -> None:
    network = paumer.load("demo", evaluation)
    governor = Governor(network, milliseconds=1e6, points=["1:0.5"])
    assert torch.equal(governor(frames[0]), network.with_schedule("1:0.5").segment(frames[0]))


def test_frames_get_what_the_network_says_at_the_chosen_point(network, frames) -> None:
    governor = Governor(network, milliseconds=1e6)
    for frame in frames:
        assert alike(governor(frame), network.segment(frame))
    assert [frame.point for frame in governor.history] == [OperatingPoint()] * 3
    assert not any(frame.late for frame in governor.history)
    hurried = Governor(network, milliseconds=1e-6)
    labels = hurried(frames[0])
    assert hurried.history[0].late and hurried.history[0].point == hurried.points[-1].point
    fastest = hurried.points[-1].point
    expected = network.with_schedule(fastest.schedule, fastest.strategy, fastest.criterion).segment(frames[0])
    assert alike(labels, expected)
    assert hurried.history[0].load == hurried.history[0].seconds / hurried.points[-1].seconds


def test_points_fall_in_gmac_and_time_from_dense_on(network, frames) -> None:
    governor = Governor(network)
    governor(frames[0])
    assert governor.points[0].point == OperatingPoint() and len(governor._ranked(frames[0])) > 5
    for one, other in pairwise(governor.points):
        assert one.gmac > other.gmac and one.seconds > other.seconds
    table = paumer.sweep(network, frames[:1], ["pause 1:0.3"])
    chosen = Governor(network, points=["1:0.3", "dense"])
    chosen(frames[0])
    assert chosen.points[0].gmac == pytest.approx(table.gmac[0])
    assert {timed.point for timed in chosen.points} <= {OperatingPoint(), read_point("1:0.3")}


def test_points_are_timed_for_each_size(network, frames) -> None:
    governor = Governor(network, milliseconds=1e6, points=["dense"])
    governor(frames[0])
    first = governor.points
    governor(frames[1])
    assert governor.points is first
    assert governor(frames[0, :, :, :40]).shape == (48, 40)
    assert governor.points is not first and governor.points[0].gmac < first[0].gmac
    with pytest.raises(PaumerError, match="give uint8"):
        governor(frames[0, :, :, :40].float())
    assert len(governor.history) == 3


def test_known_accuracy_ranks_points_before_those_that_are_not_known(tmp_path: Path, frames) -> None:
    run = write_run(tmp_path)
    write_json(run / "tune.json", TUNED)
    network = paumer.load(run)
    governor = Governor(network, milliseconds=1e6)
    governor(frames[0])
    known = accuracies(network.description.presets)
    assert known[OperatingPoint()] == pytest.approx(59.3) and len(known) == 3
    ranked = [*governor._ranked(frames[0])]
    assert ranked[:3] == [OperatingPoint(), read_point("2:0.5", "pause", "smoothed"), read_point("resize scale:0.8")]
    assert len(ranked) > 3 and not {*ranked[3:]} & known.keys()
    gmac = governor._ranked(frames[0])
    assert max(gmac[point] for point in ranked[3:]) < min(gmac[point] for point in ranked[:3])


def test_accuracies_are_of_one_set_of_images() -> None:
    tuned = Preset(strategy="pause", schedule="3:0.4", miou=60.0, drop=1.0, source="tune")
    table = [Preset(miou=70.0, drop=0.2, source="tables"), tuned.model_copy(update={"source": "tables", "miou": 69.0})]
    assert accuracies([tuned, *table]) == {OperatingPoint(): 61.0, tuned.point: 60.0}
    assert accuracies(table) == {OperatingPoint(): 70.0, tuned.point: 69.0}
    assert accuracies([]) == {}


def test_networks_without_heads_see_smaller_images(tmp_path: Path, frames) -> None:
    governor = Governor(paumer.load(write_run(tmp_path, recipe="dense", heads=())))
    governor(frames[0])
    assert {timed.point.strategy for timed in governor.points} <= {"dense", "resize"}


SPIN = "import os\nos.sched_setaffinity(0, {%d})\nwhile True: pass"


def share_of(core: int) -> float:
    """Of the time of a processor core, what this process gets while it asks for all."""
    start, own = time.perf_counter(), time.process_time()
    while time.perf_counter() < start + 1:
        pass
    return (time.process_time() - own) / (time.perf_counter() - start)


@exhaustive
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be bound to a core here")
def test_half_of_the_processor_is_taken_and_given_back(network) -> None:
    """Other processes on the one core that this one is bound to, as many as halve what it has."""
    frames, cores, threads = paumer.scenes(4, seed=1).images, os.sched_getaffinity(0), torch.get_num_threads()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(cores)})
    others = []
    try:
        probe = Governor(network)
        probe(frames[0])
        governor = Governor(network, milliseconds=1.3 * 1000 * probe.points[0].seconds)
        gmac = []
        for phase in ("free", "halved", "free again"):
            if phase == "halved":
                spin = [sys.executable, "-c", SPIN % min(cores)]
                others = [subprocess.Popen(spin) for _ in range(round(1 / share_of(min(cores))))]
            while phase == "free again" and others:
                others[-1].kill()
                others.pop().wait()
            for number in range(3 * PATIENCE):
                governor(frames[number % len(frames)])
            cost = {timed.point: timed.gmac for timed in governor.points}
            gmac.append(sum(cost[frame.point] for frame in list(governor.history)[-2 * PATIENCE :]) / (2 * PATIENCE))
    finally:
        for other in others:
            other.kill()
            other.wait()
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)
    assert gmac[1] < gmac[0] and gmac[1] < gmac[2]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda network, image: Governor("demo"), "network: str; give what load"),
        (lambda network, image: Governor(network, 0), "milliseconds: 0 is no time; give a number above 0"),
        (lambda network, image: Governor(network, "33"), "milliseconds: '33' is no time"),
        (lambda network, image: Governor(network, points="3:0.4"), "points: '3:0.4' is one; give a list"),
        (lambda network, image: Governor(network, points=[]), "points: holds none; give one or more"),
        (lambda network, image: Governor(network, points=["14:0.4"]), "acting after block 14"),
        (lambda network, image: Governor(network)(image.float()), "images: torch.float32"),
        (lambda network, image: Governor(network)(image.numpy()), "images: ndarray; give a tensor"),
        (lambda network, image: Governor(network)(image.permute(1, 2, 0)), "channels come first"),
    ],
)
def test_mistakes_are_one_line(call, words: str, network, frames) -> None:
    with pytest.raises(PaumerError, match=words) as caught:
        call(network, frames[0])
    assert "\n" not in str(caught.value)
