"""What `paumer tune` says: as content for a file, and as text for people."""

from pathlib import Path
from typing import Any

from tabulate import tabulate

from paumer.environment import describe_code, describe_environment, device_name
from paumer.tuning.bench import Bench
from paumer.tuning.choice import Choice, Finalist

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
    built = f'build_strategy(Point("{strategy}", "{criterion}", "{schedule}"))'
    if strategy == "pause":
        built = f'Pause(Schedule.parse("{schedule}"), "{criterion}")'
    return {
        "in an experiment": f'sweep: [{{strategy: {strategy}, schedules: ["{schedule}"], criteria: [{criterion}]}}]',
        "in Python": f"logits = model(images, {built})",
    }
