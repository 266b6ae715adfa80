"""`paumer tune`: choose a pausing schedule for a budget, measure it, and report how good it is.

The budget is a speed-up (or images/s), for which the most accurate schedule is sought, or a drop in mIoU, for which the
fastest is. Accuracy is scored on images of a split. Speed is predicted from multiply-accumulates, by a model that a few
timings fit to this device, and measured for the finalists.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tabulate import tabulate

from paumer.deployment.presets import TimedOn, TunedPoint, TuneResult, Unpaused
from paumer.deployment.settings import TuneSettings
from paumer.deployment.tuning.bench import Bench
from paumer.deployment.tuning.search import (
    ScheduleFamily,
    SpeedModel,
    calibration_points,
    candidates_for,
    refine,
    schedule_families,
    successive_halving,
    within_drop,
)
from paumer.measurement.budget import Budget, best
from paumer.system.errors import PaumerError
from paumer.system.files import require_writable, write_json
from paumer.system.machine import describe_code, describe_environment, device_name

FINALISTS = 4
LONGER = 3  # times as many rounds for the one that is chosen
TABLE = ["schedule", "mIoU", "drop", "images/s", "speed-up [95%]", "GMAC ratio"]
Choice = tuple[TunedPoint, list[TunedPoint], str]  # what was chosen, of which finalists, and how it meets the budget


def tune(settings: TuneSettings, manifest: Path, run_folder: Path, output: Path | None = None) -> None:
    """Print the schedule that suits the budget best; with `output` write all that was measured as JSON.

    Raises:
        PaumerError: the network cannot pause, the budget is out of reach, or the file could not be written.
    """
    if output is not None:
        require_writable(output)
    bench = Bench(settings, manifest, run_folder)
    space = (bench.blocks, settings.locations, settings.scales, settings.criterion)
    points, families = calibration_points(*space), schedule_families(*space)
    timed = bench.time(points)
    predict = SpeedModel.fit(bench.macs, points, timed)
    if settings.max_drop is not None:
        choice = _within_drop(bench, families, settings.max_drop, predict)
    else:
        choice = _at_speed(bench, families, predict, timed)
    result = _result(bench, run_folder, *choice)
    if output is not None:
        write_json(output, result.model_dump(mode="json"))
    print(text(result))


def _at_speed(
    bench: Bench, families: Sequence[ScheduleFamily], predict: SpeedModel, timed: Sequence[TunedPoint]
) -> Choice:
    """The most accurate schedule that is fast enough."""
    settings, unpaused = bench.settings, bench.unpaused_per_s
    if settings.speedup is not None:
        speedup, asked = settings.speedup, f"--speedup {settings.speedup:g}"
    else:
        wanted = settings.images_per_second or 0.0
        speedup, asked = wanted / unpaused, f"--images-per-second {wanted:g}"
        if speedup <= 1:
            return bench.unpaused(), [], f"{asked}: met without pausing ({unpaused:.4g} images/s)"
    budget = Budget(speedup=speedup)
    most = max(timed, key=lambda one: one.speedup)
    if not budget.met_by(most.speedup):
        raise PaumerError(
            f"{asked}: out of reach here; the most is {most.speedup:.2f} times as fast, {most.images_per_s:.4g} "
            f"images/s, with {most.schedule}; ask for less"
        )
    candidates = candidates_for(families, speedup, predict)
    accurate = successive_halving(candidates, bench.score, bench.images, FINALISTS)
    refined = refine(accurate, budget, predict, bench.time)
    finalists = bench.scored([one for _, one in refined])
    chosen = best(finalists, budget)
    if chosen is not None:  # by short timings; now longer, with another total where that misses the budget
        number = finalists.index(chosen)
        [(_, again)] = refine([refined[number][0]], budget, predict, partial(bench.time, longer=LONGER))
        [chosen] = bench.scored([again])
        finalists[number] = chosen
    if chosen is None or not budget.met_by(chosen.speedup):
        chosen = chosen or max(finalists, key=lambda finalist: finalist.speedup)
        return chosen, finalists, f"{asked}: missed; this is the nearest that was reached"
    return chosen, finalists, f"{asked}: met"


def _within_drop(bench: Bench, families: Sequence[ScheduleFamily], limit: float, predict: SpeedModel) -> Choice:
    """The fastest schedule that is accurate enough."""
    asked = f"--max-drop {limit:g}"
    held = [candidate.point for candidate in within_drop(families, limit, bench.drops, predict)]
    fastest = sorted(held, key=predict, reverse=True)[:FINALISTS]
    finalists = bench.scored(bench.time(fastest)) if fastest else []
    chosen = best([finalist for finalist in finalists if finalist.speedup > 1], Budget(max_drop=limit))
    if chosen is None:
        reason = "what holds is not faster than the unpaused network" if held else "no schedule holds"
        return bench.unpaused(), finalists, f"{asked}: {reason}, so nothing pauses"
    return chosen, finalists, f"{asked}: met"


def _result(bench: Bench, run_folder: Path, chosen: TunedPoint, finalists: list[TunedPoint], budget: str) -> TuneResult:
    """What was chosen and measured, on which data, and by what."""
    settings = bench.settings
    return TuneResult(
        run=str(run_folder),
        budget=budget,
        **chosen.model_dump(),
        unpaused=Unpaused(
            miou=bench.unpaused().miou, images_per_s=bench.unpaused_per_s, gmac=bench.unpaused_macs / 1e9
        ),
        split=settings.split,
        images=bench.images,
        images_of_split=len(bench.data),
        timed=TimedOn(
            batch=settings.batch,
            size=bench.size,
            windows=bench.windows,
            precision=settings.evaluation.precision,
            rounds=settings.throughput.rounds,
            noise=bench.noise,
            device=device_name(bench.device),
        ),
        finalists=tuple(finalists),
        code=describe_code(),
        environment=describe_environment(bench.device),
    )


def text(result: TuneResult) -> str:
    """The schedule, its accuracy and speed, how to use it, and the other finalists."""
    unpaused, timed, size = result.unpaused, result.timed, result.timed.size or (0, 0)
    scored = f"{result.images} of the {result.images_of_split} images of split {result.split}"
    windows = f"; {timed.windows:.3g} windows an image, without cutting and putting them together"
    lines = {
        "budget": result.budget,
        "mIoU": f"{result.miou:.2f}, unpaused {unpaused.miou:.2f}, drop {result.drop:.2f}; on {scored}",
        "images/s": f"{result.images_per_s:.4g}, unpaused {unpaused.images_per_s:.4g}; at batch {timed.batch}, "
        f"{size[0]} x {size[1]}, {timed.precision}{windows if timed.windows != 1 else ''}",
        "speed-up": f"{_interval(result)}; the unpaused network, timed twice, differs by {timed.noise:.1%}",
        "GMAC": f"{result.gmac_ratio * unpaused.gmac:.4g}, {result.gmac_ratio:.3f} of unpaused",
        "device": timed.device,
        **(_use(result) if result.strategy != "dense" else {}),
        "caution": f"chosen on split {result.split}, where its mIoU is therefore flattered; report another split's",
    }
    parts = [result.schedule, tabulate(lines.items(), tablefmt="plain", disable_numparse=True)]
    if result.finalists:
        cells = [[one.schedule, *_numbers(one)] for one in result.finalists]
        parts.append(tabulate(cells, TABLE, "simple", disable_numparse=True, colalign=["left", *["right"] * 5]))
    return "\n\n".join(parts)


def _numbers(point: TunedPoint) -> list[str]:
    accuracy = [f"{point.miou:.2f}", f"{point.drop:.2f}"]
    return [*accuracy, f"{point.images_per_s:.4g}", _interval(point), f"{point.gmac_ratio:.3f}"]


def _interval(point: TunedPoint) -> str:
    return f"{point.speedup:.3f} [{point.speedup_low:.3f}, {point.speedup_high:.3f}]"


def _use(result: TuneResult) -> dict[str, str]:
    """How an experiment file and Python name the operating point."""
    strategy, schedule, criterion = result.strategy, result.schedule, result.criterion
    built = f'build_strategy(operating_point("{strategy}", "{criterion}", "{schedule}"))'
    if strategy == "pause":
        built = f'Pause(Schedule("{schedule}"), "{criterion}")'
    return {
        "in an experiment": f'sweep: [{{strategy: {strategy}, schedules: ["{schedule}"], criteria: [{criterion}]}}]',
        "in Python": f"logits = model(images, {built})",
    }
