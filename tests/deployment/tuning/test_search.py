"""Families of schedules, predicted speed-ups, and the search, on a network and a device that obey simple laws."""

from bisect import bisect_right
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples

from paumer.deployment.presets import TunedPoint
from paumer.deployment.tuning.search import (
    ABOVE,
    FINE,
    MOST,
    PARTS,
    SLACK,
    UNPAUSED,
    Candidate,
    ScheduleFamily,
    SpeedModel,
    calibration_points,
    candidates_for,
    refine,
    scale_of,
    schedule_families,
    schedule_of,
    smallest_total,
    successive_halving,
    within_drop,
)
from paumer.measurement.budget import Budget
from paumer.strategies.registry import OperatingPoint, operating_point

DEPTH = 12
ONE = ScheduleFamily((3,), (5,))
some = settings(max_examples=examples(30))


def macs(point: OperatingPoint) -> float:
    """A patch that pauses saves all blocks that follow, and a smaller input saves everywhere."""
    saved = sum(one.fraction * (DEPTH - one.block) / DEPTH for one in schedule_of(point).locations)
    return scale_of(point) ** 2 * (1 - saved)


def loss(point: OperatingPoint) -> float:
    """Points of mIoU: more for early and for many, the sum over the locations; and for smaller inputs."""
    paused = sum(20 * one.fraction**2 / one.block for one in schedule_of(point).locations)
    return paused + 30 * (1 - scale_of(point)) ** 2


def timed(speedup: float) -> TunedPoint:
    return TunedPoint(images_per_s=100 * speedup, speedup=speedup, gmac_ratio=1.0)


class Device:
    """A device whose times follow multiply-accumulates, on a line or (with `bend`) not."""

    def __init__(self, realised: float, overhead: float, bend: float = 0.0, resizing: float = 0.02) -> None:
        self.realised, self.overhead, self.bend, self.resizing = realised, overhead, bend, resizing
        self.timed: list[OperatingPoint] = []

    def time(self, points) -> list[TunedPoint]:
        self.timed += points
        return [self.speed(point) for point in points]

    def speed(self, point: OperatingPoint) -> TunedPoint:
        saved = 1 - macs(point)
        overhead = self.overhead * len(schedule_of(point).locations) + self.resizing * (scale_of(point) < 1)
        speedup = 1 / (1 - self.realised * saved * (1 + self.bend * saved) + overhead)
        return timed(speedup)

    def model(self, points) -> SpeedModel:
        return SpeedModel.fit(macs, points, [self.speed(point) for point in points])


def search_space(blocks: list[int], *scales: float) -> tuple[list[ScheduleFamily], list[OperatingPoint]]:
    """Families of up to two locations, and the points that the speed model is fitted to."""
    return schedule_families(blocks, 2, scales), calibration_points(blocks, 2, scales)


FAMILIES, POINTS = search_space([3, 6, 9], 1.0, 0.9, 0.8)
DEVICES = st.builds(Device, st.floats(0.6, 1.0), st.floats(0.0, 0.03), st.floats(-0.3, 0.1))
STRAIGHT = st.builds(Device, st.floats(0.3, 1.0), st.floats(0.0, 0.05))


class TestFamilies:
    families = schedule_families([2, 3, 6, 9, 10], 3, (1.0, 0.85), "smoothed")

    @some
    @given(st.sampled_from(families), st.integers(0, MOST))
    def test_what_is_printed_is_what_was_measured(self, family, total) -> None:
        point = family.at(total)
        if point.parts:
            assert point == operating_point(point.strategy, "smoothed" if total else "", point.schedule)
        assert scale_of(point) == family.scale
        assert schedule_of(point).paused == pytest.approx(total / 1000)
        assert schedule_of(point).blocks == (family.blocks if total else ())

    @pytest.mark.parametrize(
        ("family", "total", "point"),
        [
            (ONE, 0, UNPAUSED),
            (ONE, 400, operating_point("pause", "entropy", "3:0.4")),
            (ScheduleFamily((3,), (5,), 0.9), 0, operating_point("resize", "", "scale:0.9")),
            (
                ScheduleFamily((3, 6), (2, 3), 0.9),
                500,
                operating_point("resize>pause", "entropy", "scale:0.9>3:0.2+6:0.3"),
            ),
        ],
    )
    def test_members_are_operating_points(self, family, total, point) -> None:
        assert family.at(total) == point

    @pytest.mark.parametrize("locations", [1, 2, 3, 4])
    def test_every_choice_of_places_and_splits_is_there_once(self, locations) -> None:
        found = schedule_families([9, 3, 6], locations)
        expected = sum(comb(3, count) * comb(PARTS - 1, count - 1) for count in range(1, min(3, locations) + 1))
        assert len(found) == len(set(found)) == expected
        assert all(sum(family.parts) == PARTS and min(family.parts) >= 1 for family in found)
        assert all(list(family.blocks) == sorted(set(family.blocks)) for family in found)
        assert all(len(family.blocks) <= locations for family in found)
        scales = [family.scale for family in schedule_families([9, 3, 6], locations, (1.0, 0.8))]
        assert scales == [1.0] * expected + [0.8] * expected


class TestSpeedModel:
    @some
    @given(STRAIGHT, st.sampled_from(FAMILIES), st.integers(1, MOST))
    def test_a_device_that_follows_the_model_is_predicted_exactly(self, device, family, total) -> None:
        point = family.at(total)
        assert device.model(POINTS)(point) == pytest.approx(device.speed(point).speedup)

    def test_prediction_never_falls_where_more_pauses_even_on_a_device_that_gains_nothing(self) -> None:
        predict = Device(-0.2, 0.01).model(POINTS)
        for family in FAMILIES:
            speedups = [predict(family.at(total)) for total in range(1, MOST + 1, 25)]
            assert speedups == sorted(speedups)
            assert max(speedups) <= 1


class TestCandidates:
    @some
    @given(STRAIGHT, st.floats(1.01, 6))
    def test_they_just_meet_the_budget_and_all_families_that_can_are_there(self, device, speedup) -> None:
        predict = device.model(POINTS)
        found = candidates_for(FAMILIES, speedup, predict)
        reachable = min(speedup, max(predict(family.at(MOST)) for family in FAMILIES))
        assert found
        assert len({candidate.point for candidate in found}) == len(found)
        for candidate in found:
            assert predict(candidate.point) >= reachable
            least = 1 if candidate.family.scale == 1 else 0
            assert candidate.total == least or predict(candidate.family.at(candidate.total - 1)) < reachable
        alone = {candidate.family.scale for candidate in found if candidate.total == 0}
        left_out = {one for one in FAMILIES if one.scale not in alone} - {candidate.family for candidate in found}
        assert all(predict(family.at(MOST)) < reachable for family in left_out)

    def test_no_total_is_enough_where_nothing_is(self) -> None:
        assert smallest_total(ONE, 20, Device(1, 0).model(POINTS)) is None

    @some
    @given(DEVICES, st.floats(1.05, 1.6))
    def test_refined_ones_measure_as_asked_though_the_prediction_is_wrong(self, device, speedup) -> None:
        predict = device.model(POINTS)
        families = [family for family in FAMILIES if device.speed(family.at(MOST)).speedup >= 1.05 * speedup]
        candidates = candidates_for(families, speedup, predict) if families else []
        for candidate, speed in refine(candidates, Budget(speedup), predict, device.time):
            assert Budget(speedup).met_by(speed.speedup)
            assert speed.speedup <= ABOVE * speedup or candidate.total == 0  # a smaller input may do by itself
            assert speed == device.speed(candidate.point)

    def test_what_cannot_reach_the_budget_gives_the_most_it_can(self) -> None:
        predict = Device(1.0, 0.0).model(POINTS)  # far too hopeful
        [(candidate, speed)] = refine([Candidate(ONE, 500)], Budget(3.0), predict, Device(0.5, 0.0).time)
        assert candidate.total == MOST
        assert not Budget(3.0).met_by(speed.speedup)


class TestAccuracy:
    families, points = search_space([2, 3, 6, 9], 1.0, 0.9)
    predict = Device(0.8, 0.01).model(points)

    def drops(self, points) -> list[float]:
        return [loss(point) for point in points]

    @some
    @given(st.integers(1, 40), st.integers(1, 500), st.integers(1, 6))
    def test_halving_finds_the_best_where_few_images_tell_as_much_as_all(self, count, images, keep) -> None:
        candidates = candidates_for(self.families, 1.4, self.predict)[:count]
        spent: list[int] = []

        def score(points, scored_on):
            spent.append(scored_on)
            return [50 - loss(point) for point in points]

        best = successive_halving(candidates, score, images, keep)
        losses = sorted(loss(candidate.point) for candidate in candidates)
        assert [loss(one.point) for one in best] == losses[:keep]
        assert spent[-1] == images  # the best are ranked on all images
        assert all(1 <= scored_on <= images for scored_on in spent)

    @some
    @given(st.floats(0.001, 8))
    def test_what_holds_holds_and_the_fastest_is_nearly_found(self, limit) -> None:
        found = within_drop(self.families, limit, self.drops, self.predict)
        assert all(loss(candidate.point) <= limit for candidate in found)

        def largest(family) -> int:
            return bisect_right(range(1, MOST + 1), limit, key=lambda total: loss(family.at(total)))

        truth = {family: largest(family) for family in self.families}
        assert all(candidate.total <= truth[candidate.family] for candidate in found)
        best = max(self.families, key=lambda family: self.predict(family.at(truth[family])))
        reached = max([candidate.total for candidate in found if candidate.family == best], default=0)
        assert truth[best] - reached < FINE

    def test_bisection_begins_at_the_first_that_fails(self) -> None:
        """A total that holds by luck beyond one that does not is not taken."""

        def lucky(points):
            return [1.0 if 0.2 < schedule_of(point).paused < 0.5 else 0.0 for point in points]

        found = within_drop(self.families[:1], 0.5, lucky, self.predict)
        assert {candidate.total for candidate in found} <= set(range(190, 201))

    def test_families_that_cannot_be_the_fastest_are_not_refined(self) -> None:
        seen = []

        def counted(points):
            seen.extend(points)
            return self.drops(points)

        found = within_drop(self.families, 1.0, counted, self.predict)
        fastest = max(self.predict(candidate.point) for candidate in found)
        schedules = [schedule_of(one) for one in seen if scale_of(one) == 1]
        refined = {one.blocks for one in schedules if round(one.paused * 1000) % 50}
        last = max(self.families, key=lambda family: (family.scale, family.blocks))
        assert self.predict(last.at(MOST)) < (1 - SLACK) * fastest
        assert refined
        assert last.blocks not in refined


SMALL, FITTED = search_space([3, 6, 9], 1.0, 0.9)
DEVICE = Device(0.85, 0.01, -0.1)
EVERY = [family.at(total) for family in SMALL for total in range(10, 851, 10)]
RIVALS = [(DEVICE.speed(point).speedup, loss(point)) for point in EVERY]


@some
@given(st.floats(1.05, 1.9))
def test_the_whole_search_meets_the_budget_and_is_nearly_as_accurate_as_any_schedule(speedup) -> None:
    predict, budget = DEVICE.model(FITTED), Budget(speedup)
    candidates = candidates_for(SMALL, speedup, predict)
    accurate = successive_halving(candidates, lambda points, _: [50 - loss(one) for one in points], 100, 4)
    refined = refine(accurate, budget, predict, DEVICE.time)
    lost, reached = min((loss(one.point), speed.speedup) for one, speed in refined if budget.met_by(speed.speedup))
    assert reached <= ABOVE * speedup
    assert lost <= min((least for rival, least in RIVALS if rival >= ABOVE * speedup), default=100.0)
