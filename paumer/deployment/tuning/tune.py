"""`paumer tune`: choose a pausing schedule for a budget, measure it, and say how good it is.

The budget is a speed-up (or images/s), for which the most accurate schedule is sought, or a drop in mIoU, for which the
fastest is. Accuracy is scored on images of a split; speed is predicted from multiply-accumulates, which few timings tie
to this device, and measured for the finalists.

The last step: one of the finalists. Imports no torch.

What `paumer tune` says: as content for a file, and as text for people.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tabulate import tabulate

from paumer.deployment.settings import TuneSettings
from paumer.deployment.tuning.bench import Bench
from paumer.deployment.tuning.search import (
    BELOW,
    UNPAUSED,
    Candidate,
    Reduction,
    Speed,
    SpeedModel,
    candidates_for,
    meets,
    most_accurate,
    pilots,
    settle,
    shapes,
    within_drop,
)
from paumer.system.errors import PaumerError
from paumer.system.files import require_writable, write_json
from paumer.system.machine import describe_code, describe_environment, device_name


@dataclass(frozen=True)
class Finalist:
    """A reduction with all that was measured of it.

    Attributes:
        reduction: where and how much it pauses, and on which input.
        miou: in points.
        drop: from the unpaused network on the same images, in points.
        speed: its measured speed.
        macs: its multiply-accumulates as a share of the unpaused network's.
    """

    reduction: Reduction
    miou: float
    drop: float
    speed: Speed
    macs: float


@dataclass(frozen=True)
class Choice:
    """What was chosen, from what, and how that meets the budget."""

    chosen: Finalist
    finalists: list[Finalist]
    verdict: str


def choose_accurate(finalists: Sequence[Finalist], speedup: float) -> Finalist:
    """The highest mIoU among those that meet a speed-up; the fastest where none does."""
    meeting = [finalist for finalist in finalists if meets(finalist.speed, speedup)]
    if not meeting:
        return max(finalists, key=lambda finalist: finalist.speed.speedup)
    return max(meeting, key=lambda finalist: (finalist.miou, finalist.speed.speedup))


def choose_fastest(finalists: Sequence[Finalist]) -> Finalist | None:
    """The fastest; None where none is faster than the unpaused network."""
    faster = [finalist for finalist in finalists if finalist.speed.speedup > 1]
    return max(faster, key=lambda finalist: finalist.speed.speedup, default=None)


TABLE = ["schedule", "mIoU", "drop", "images/s", "speed-up [95%]", "GMAC ratio"]


def described(bench: Bench, run_folder: Path, choice: Choice) -> dict[str, Any]:
    """All that was chosen and measured, on what, and by what."""
    settings, chosen = bench.settings, choice.chosen
    return {
        "run": str(run_folder),
        "budget": choice.verdict,
        "criterion": settings.criterion,
        **_row(chosen),
        "unpaused": {
            "miou": chosen.miou + chosen.drop,
            "images_per_s": bench.unpaused_per_s,
            "gmac": bench.unpaused_macs / 1e9,
        },
        "split": settings.split,
        "images": bench.images,
        "images_of_split": len(bench.data),
        "timed": {
            "batch": settings.batch,
            "size": list(bench.size),
            "windows": bench.windows,
            "precision": settings.evaluation.precision,
            "rounds": settings.throughput.rounds,
            "noise": bench.noise,
            "device": device_name(bench.device),
        },
        "finalists": [_row(finalist) for finalist in choice.finalists],
        "code": describe_code(),
        "environment": describe_environment(bench.device),
    }


def text(content: dict[str, Any]) -> str:
    """The schedule first, then what it is worth, how to use it, and what else came close."""
    unpaused, timed = content["unpaused"], content["timed"]
    height, width = timed["size"]
    scored = f"{content['images']} of the {content['images_of_split']} images of split {content['split']}"
    lines = {
        "budget": content["budget"],
        "mIoU": f"{content['miou']:.2f}, unpaused {unpaused['miou']:.2f}, drop {content['drop']:.2f}; on {scored}",
        "images/s": f"{content['images_per_s']:.4g}, unpaused {unpaused['images_per_s']:.4g}; at batch "
        f"{timed['batch']}, {height} x {width}, {timed['precision']}{_windows(timed['windows'])}",
        "speed-up": f"{_interval(content)}; the unpaused network, timed twice, differs by {timed['noise']:.1%}",
        "GMAC": f"{content['gmac_ratio'] * unpaused['gmac']:.4g}, {content['gmac_ratio']:.3f} of unpaused",
        "device": timed["device"],
        **_use(content),
        "caution": f"chosen on split {content['split']}, where its mIoU is therefore flattered; report another split's",
    }
    parts = [content["schedule"], tabulate(lines.items(), tablefmt="plain", disable_numparse=True)]
    if content["finalists"]:
        cells = [_cells(row) for row in content["finalists"]]
        parts.append(tabulate(cells, TABLE, "simple", disable_numparse=True, colalign=["left", *["right"] * 5]))
    return "\n\n".join(parts)


def _windows(count: float) -> str:
    """What images/s mean where a network runs on windows."""
    return "" if count == 1 else f"; {count:.3g} windows an image, without cutting and putting them together"


def _row(finalist: Finalist) -> dict[str, Any]:
    point = finalist.reduction.point("")
    return {
        "strategy": point.strategy,
        "schedule": point.schedule,
        "miou": finalist.miou,
        "drop": finalist.drop,
        "images_per_s": finalist.speed.images_per_s,
        "speedup": finalist.speed.speedup,
        "speedup_low": finalist.speed.low,
        "speedup_high": finalist.speed.high,
        "gmac_ratio": finalist.macs,
    }


def _cells(row: dict[str, Any]) -> list[str]:
    numbers = [f"{row['miou']:.2f}", f"{row['drop']:.2f}", f"{row['images_per_s']:.4g}"]
    return [row["schedule"], *numbers, _interval(row), f"{row['gmac_ratio']:.3f}"]


def _interval(row: dict[str, Any]) -> str:
    return f"{row['speedup']:.3f} [{row['speedup_low']:.3f}, {row['speedup_high']:.3f}]"


def _use(content: dict[str, Any]) -> dict[str, str]:
    """How an experiment and Python ask for it; nothing for what is dense anyway."""
    if content["strategy"] == "dense":
        return {}
    strategy, schedule = content["strategy"], content["schedule"]
    criterion = content["criterion"] if "pause" in strategy else ""
    built = f'build_strategy(operating_point("{strategy}", "{criterion}", "{schedule}"))'
    if strategy == "pause":
        built = f'Pause(Schedule.parse("{schedule}"), "{criterion}")'
    return {
        "in an experiment": f'sweep: [{{strategy: {strategy}, schedules: ["{schedule}"], criteria: [{criterion}]}}]',
        "in Python": f"logits = model(images, {built})",
    }


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
