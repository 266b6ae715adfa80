"""What the verbs of the command line do before and after the stage that they run.

Stages are named, `module:function` of this package, and imported when they run: help needs no torch.
"""

import json
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paumer.system.errors import PaumerError
from paumer.system.files import WEIGHTS, ExperimentFiles
from paumer.system.locks import hold_gpus, lock, lock_path

if TYPE_CHECKING:
    from paumer.config.measuring import Evaluation


def named(name: str) -> Any:
    """Import `module:name` of this package."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(f"paumer.{module}"), attribute)


def run_stage(function: str, section: str = "", table: str | None = None, /, **options: Any) -> None:
    """Run a stage on its settings, with the GPU and the threads that they name, and record its table.

    Args:
        function: of the stage; takes its settings, if any, and the options that are not part of them, by name.
        section: its settings: the text in option `settings`, or where there is none the options of these names.
        table: what was measured, as a path from the output ("" is the output itself); None: no record.
        options: those of the command line.

    Raises:
        PaumerError: the settings are no YAML, or not those of the stage.
    """
    chosen = _settings(section, options)
    if "threads" in options:
        use_threads(options.pop("threads"))
    named(function)(*chosen, **options)
    if table is not None:
        runs = [options["run_folder"]] if "run_folder" in options else []
        weights = [named("models.weights:find_network")(run) / WEIGHTS for run in runs]
        named("system.machine:record")(options["output"] / table, *chosen, options["manifest"], *weights)


def _settings(section: str, options: dict[str, Any]) -> list[Any]:
    """The settings of a stage, taken out of the options, in a list that is empty where it has none; holds their GPU."""
    if not section:
        return []
    if "settings" in options:
        chosen = _read(section, options.pop("settings"))
    else:
        taken = {name: options.pop(name) for name in named(section).model_fields.keys() & options.keys()}
        chosen = named("config.base:parse")(named(section), taken, "options")
    hold_gpus(getattr(chosen, "device", "cpu"))  # before torch looks for GPUs
    return [chosen]


def _read(section: str, text: str) -> Any:
    """A section of the configuration from a YAML file, or from text in braces."""
    from paumer.config.base import parse, read_yaml

    content, origin = read_yaml(text)
    return parse(named(section), content, origin, [Path(origin).parent])


def read_evaluation(text: str | None) -> "Evaluation | None":
    """The evaluation that a YAML file or text in braces holds, by itself or as part of an experiment."""
    from paumer.config.base import read_yaml
    from paumer.config.measuring import read_evaluation

    if text is None:
        return None
    content, origin = read_yaml(text)
    return read_evaluation(content.get("evaluation", {}) if "backbones" in content else content, origin)


def split_list(text: str) -> list[str]:
    """The parts of a list whose parts are divided by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def use_threads(threads: int | None) -> int:
    """Set the number of torch's threads, and keep freed memory for this process; return the number."""
    named("system.machine:keep_freed_memory")()
    return int(named("system.machine:set_threads")(threads))


def data(dataset: str | None, settings: str, output: Path | None, threads: int | None) -> None:
    """Fetch a dataset alone, or prepare that of the settings."""
    if dataset is not None:
        named("data.preparation:fetch_dataset")(dataset, output or Path("data", dataset), use_threads(threads))
    else:
        chosen, manifest = _read("config.network:Data", settings), output or Path("results/scenes/data.json")
        named("data.preparation:prepare")(chosen, manifest, use_threads(threads))


def train(settings: str, devices: int, threads: int | None, **paths: Path | None) -> None:
    """Train in this process, or start one for each device."""
    # Read when torch is loaded, below: several processes look for unused parameters on purpose, and torch warns of it.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    chosen = _read("config.runs:TrainSettings", settings)
    hold_gpus(chosen.device, devices)
    if devices == 1:
        use_threads(threads)
        named("training.loop:train")(chosen, **paths)
        return
    given = {"settings": settings, "threads": threads, "data": paths.pop("manifest"), **paths}
    arguments = [str(part) for name, value in given.items() if value is not None for part in (f"--{name}", value)]
    named("training.distributed:launch")(["train", *arguments], devices, chosen.options.batch)


def throughput(
    settings: str, run: Sequence[Path], points: Sequence[Path], quick: bool, threads: int | None, **paths: Path
) -> None:
    """Measure images/s on the trained networks of these folders, one process at a time."""
    from paumer.config.measuring import read_sweeps
    from paumer.models.weights import find_network, read_run

    chosen = _read("config.runs:CostSettings", settings)
    chosen = chosen.model_copy(update={"sweep": (*chosen.sweep, *read_sweeps(points))})
    hold_gpus(chosen.device)
    use_threads(threads)
    described = {folder: read_run(folder, backbone=str, recipe=str) for folder in map(find_network, run)}
    runs = {(content["backbone"], content["recipe"]): folder for folder, content in described.items()}
    if quick:
        chosen = chosen.model_copy(update={"throughput": chosen.throughput.quick()})
    with lock(lock_path(paths["output"]), f"{paths['output']}: another process measures this"):
        named("measurement.throughput:throughput")(chosen, runs=runs, **paths)


def figures(table: Path, accuracy: Sequence[Path], output: Path, paper: bool, **drawn: Any) -> None:
    """Draw all plots, or where no accuracy was measured those of speed."""
    if accuracy:
        named("reporting.figures.write:write_figures")(table, accuracy, output=output, paper=paper, **drawn)
    else:
        named("reporting.figures.write:write_speed_figures")(table, output, paper=paper)


def report(folder: Path, runs: Sequence[Path]) -> None:
    """Write the report of an experiment."""
    named("reporting.page.page:write_report")(ExperimentFiles(folder), runs)


def paper(experiment: Sequence[Path], main: Sequence[Path], **paths: Path) -> None:
    """Compare experiments with the paper."""
    if len(experiment) != len(main):
        raise PaumerError(f"paper: {len(experiment)} experiments and {len(main)} main tables; name one table for each")
    experiments = [_read("config.experiment:Experiment", str(path)) for path in experiment]
    named("reporting.tables.paper:write_paper")(experiments, main, **paths)


def provenance(file: Path) -> None:
    """Print where a file comes from, as JSON."""
    print(json.dumps(named("reporting.verify:trace")(file), indent=2))


def verify(folder: Path, published: Path) -> None:
    """Print what differs, and fail if anything does."""
    differences = named("reporting.verify:verify")(folder, published)
    print("\n".join(differences) or f"{folder}: every table follows from the raw files")
    if differences:
        raise PaumerError(
            f"{folder}: {len(differences)} differences, named above; run the stages again that wrote them"
        )


def compare(first: Path, second: Path, max_drop: float, max_slowdown: float) -> None:
    """Print what a run lost since another one, and fail if it is more than noise."""
    lost, summary = named("reporting.compare:compare")(first, second, max_drop, max_slowdown)
    print("\n".join([*lost, summary]))
    if lost:
        raise PaumerError(
            f"{second}: {len(lost)} losses beyond noise, named above; mend them, or allow more by --max-drop and "
            "--max-slowdown"
        )


def tune(quick: bool, **options: Any) -> None:
    """Choose a schedule, with few rounds of timing for a first look."""
    if quick:
        options["throughput"] = named("config.measuring:Throughput")().quick()
    run_stage("deployment.tuning.tune:tune", "deployment.settings:TuneSettings", **options)


def predict(**options: Any) -> None:
    """Predict images at one operating point, or frames in the time that `fps` leaves them."""
    stage = "predict:predict_images" if options["fps"] is None else "live:predict_frames"
    run_stage(f"deployment.{stage}", "deployment.settings:PredictSettings", **options)


def export(names: Sequence[str], **options: Any) -> None:
    """Export a network, whose name may stand behind that of a format."""
    if len(names) > 2:
        raise PaumerError(f"export: {names[2]!r} is one name too many; name a format, if any, and a run")
    options |= {"form": names[0] if len(names) > 1 else None, "folder": Path(names[-1])}
    run_stage("deployment.export:export", "deployment.settings:ExportSettings", **options)
