"""`paumer tune`: choose a pausing schedule for a budget, measure it, and say how good it is.

The budget is a speed-up (or images/s), for which the most accurate schedule is sought, or a drop in mIoU, for which the
fastest is. Accuracy is scored on images of a split; speed is predicted from multiply-accumulates, which few timings tie
to this device, and measured for the finalists.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from paumer.errors import PaumerError
from paumer.files import require_writable, write_json
from paumer.stages import TuneSettings
from paumer.tuning.accuracy import most_accurate, within_drop
from paumer.tuning.bench import Bench
from paumer.tuning.choice import Choice, Finalist, choose_accurate, choose_fastest
from paumer.tuning.report import described, text
from paumer.tuning.shapes import UNPAUSED, Candidate, Reduction, pilots, shapes
from paumer.tuning.speedups import BELOW, Speed, SpeedModel, candidates_for, meets, settle

FINALISTS = 4
LONGER = 3  # times as many rounds for the one that is chosen


def tune(settings: TuneSettings, manifest: Path, run_folder: Path, output: Path | None = None) -> None:
    """Print the schedule that suits the budget best; with `output` write all that was measured as JSON.

    Raises:
        PaumerError: the network cannot pause, the budget is out of reach, or the file could not be written.
    """
    if output is not None:
        require_writable(output)
    bench = Bench(settings, manifest, run_folder)
    timed = pilots(bench.blocks, settings.locations, settings.scales)
    speeds = bench.time(timed)
    predict = SpeedModel.fit(bench.macs, timed, speeds)
    if settings.max_drop is not None:
        choice = _within_drop(bench, settings.max_drop, predict)
    else:
        choice = _at_speed(bench, predict, timed, speeds)
    content = described(bench, run_folder, choice)
    if output is not None:
        write_json(output, content)
    print(text(content))


def _at_speed(bench: Bench, predict: SpeedModel, timed: Sequence[Reduction], speeds: Sequence[Speed]) -> Choice:
    """The most accurate schedule that is fast enough."""
    settings, unpaused = bench.settings, bench.unpaused_per_s
    if settings.speedup is not None:
        speedup, asked = settings.speedup, f"--speedup {settings.speedup:g}"
    else:
        wanted = settings.images_per_second or 0.0
        speedup, asked = wanted / unpaused, f"--images-per-second {wanted:g}"
        if speedup <= 1:
            return Choice(_unpaused(bench), [], f"{asked}: met without pausing ({unpaused:.4g} images/s)")
    most, reduction = max(zip(speeds, timed, strict=True), key=lambda item: item[0].speedup)
    if most.speedup < BELOW * speedup:
        raise PaumerError(
            f"{asked}: out of reach here; the most is {most.speedup:.2f} times as fast, {most.images_per_s:.4g} "
            f"images/s, with {reduction}; ask for less"
        )
    candidates = candidates_for(shapes(bench.blocks, settings.locations, settings.scales), speedup, predict)
    best = most_accurate(candidates, bench.score, bench.images, FINALISTS)
    settled = settle(best, speedup, predict, bench.time)
    finalists = _finalists(bench, [(candidate.reduction, speed) for candidate, speed in settled])
    chosen = choose_accurate(finalists, speedup)
    if meets(chosen.speed, speedup):
        number = finalists.index(chosen)
        chosen = finalists[number] = _confirmed(bench, settled[number][0], speedup, predict)
    verdict = "met" if meets(chosen.speed, speedup) else "missed; this is the nearest that was reached"
    return Choice(chosen, finalists, f"{asked}: {verdict}")


def _confirmed(bench: Bench, candidate: Candidate, speedup: float, predict: SpeedModel) -> Finalist:
    """What was chosen by short times, timed longer, with another total where that misses the speed-up."""
    settled = settle([candidate], speedup, predict, partial(bench.time, longer=LONGER))
    [finalist] = _finalists(bench, [(one.reduction, speed) for one, speed in settled])
    return finalist


def _within_drop(bench: Bench, limit: float, predict: SpeedModel) -> Choice:
    """The fastest schedule that is accurate enough."""
    settings, asked = bench.settings, f"--max-drop {limit:g}"
    families = shapes(bench.blocks, settings.locations, settings.scales)
    held = [candidate.reduction for candidate in within_drop(families, limit, bench.drops, predict)]
    fastest = sorted(held, key=predict, reverse=True)[:FINALISTS]
    finalists = _finalists(bench, list(zip(fastest, bench.time(fastest), strict=True))) if fastest else []
    chosen = choose_fastest(finalists)
    if chosen is None:
        reason = "what holds is not faster than the unpaused network" if held else "no schedule holds"
        return Choice(_unpaused(bench), finalists, f"{asked}: {reason}, so nothing pauses")
    return Choice(chosen, finalists, f"{asked}: met")


def _finalists(bench: Bench, timed: Sequence[tuple[Reduction, Speed]]) -> list[Finalist]:
    """What was timed, with its mIoU on all images."""
    unpaused, *reduced = bench.score([UNPAUSED, *(reduction for reduction, _ in timed)], bench.images)
    return [
        Finalist(reduction, miou, unpaused - miou, speed, bench.macs(reduction))
        for (reduction, speed), miou in zip(timed, reduced, strict=True)
    ]


def _unpaused(bench: Bench) -> Finalist:
    """The network without pausing, as a choice like others."""
    [finalist] = _finalists(bench, [(UNPAUSED, Speed(bench.unpaused_per_s, 1.0, 1.0, 1.0))])
    return finalist
