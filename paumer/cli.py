"""`paumer VERB`: which verb runs which stage, in the order of the pipeline. Every workflow rule calls one of them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from paumer import verbs
from paumer.system.errors import exit_on_user_error
from paumer.system.locks import die_with_parent

PATH, COUNT, OPTIONAL = click.Path(path_type=Path), click.IntRange(1), {"default": None}
EXPERIMENT_PATHS = {
    "flops": "flops.csv.",
    "throughput": "throughput.csv.",
    "bounds": "bounds.csv.",
    "rounds": "throughput_rounds.csv.",
    "machine": "machine.json: code revision, versions, device and clock rates of the timings.",
    "checkpoint": "Folder of resumable state.",
    "segmenter": "Segmenter's published settings.",
}


def option(
    names: str, text: str, kind: Any = PATH, read: Callable[[str], Any] | None = None, **more: Any
) -> click.Option:
    """An option, which is required unless it has a default; `read` makes its value of what is typed.

    It stands for the parameter of its name, or of the name that is given behind.
    """
    more = {"required": "default" not in more, "show_default": bool(more.get("default"))} | more
    callback = None if read is None else lambda context, option, value: read(value)
    return click.Option(names.split(), type=kind, help=text, callback=callback, **more)


def several(names: str, text: str, kind: Any = PATH, **more: Any) -> click.Option:
    """An option that may stand several times."""
    return option(names, text, kind, multiple=True, **({"default": ()} | more))


def flag(names: str, text: str, default: bool = False) -> click.Option:
    """An option without a value."""
    return option(names, text, bool, is_flag=True, default=default)


# By the words with which verbs name them below. Arguments are in capitals.
OPTIONS: dict[str, click.Parameter] = {
    **{name: option(f"--{name}", text) for name, text in EXPERIMENT_PATHS.items()},
    "settings": option("--settings", "YAML file, or YAML text in braces, with this stage's settings.", str),
    "data": option("--data manifest", "data.json that `paumer data` wrote."),
    "output": option("--output -o output", "File or folder to write."),
    "output?": option("--output", "File to write.", **OPTIONAL),
    "threads": option("--threads", "Processor threads; all of this process by default.", COUNT, **OPTIONAL),
    "device": option("--device", "auto, cpu or a CUDA device.", str, default="auto"),
    "run": option("--run run_folder", "Folder of a trained run; except for evaluate of recipe paumer."),
    "quick": flag("--quick", "A first look: the first of everything, in few and short rounds."),
    "published": option("--published", "Published figures.", default="results/reference/published.csv"),
    # Of documents and data
    "schema": option("--output schema", "File to write.", default="workflow/schemas/config.schema.json"),
    "keys": option("--table", "Table of all keys; strategies.md goes beside it.", default="docs/configuration.md"),
    "DATASET": click.Argument(["dataset"], required=False),
    "section": option(
        "--settings", "YAML file, or YAML text in braces, as `data` of an experiment.", str, default="{}"
    ),
    "prepared": option("--output", "File [results/scenes/data.json]; folder to fetch to [data/DATASET].", **OPTIONAL),
    "split": option("--split", "Split to show.", str, default="train"),
    # Of training
    "start": option("--start", "Folder of the run to start from.", **OPTIONAL),
    "devices": option("--devices", "GPUs to train on; without a GPU, as many processes.", int, default=1),
    # Of tables, figures and the report, which may have several files of a kind
    "TABLES": click.Argument(["tables"], type=PATH, nargs=-1, required=True),
    "ACCURACIES": click.Argument(["accuracy"], type=PATH, nargs=-1, required=True),  # confusions.npz beside each
    "FILE": click.Argument(["file"], type=PATH),
    "FOLDER": click.Argument(["folder"], type=PATH),
    "FOLDERS": click.Argument(["folders"], type=PATH, nargs=-1, required=True, metavar="FOLDER..."),
    "BEFORE": click.Argument(["first"], type=PATH, metavar="BEFORE"),
    "AFTER": click.Argument(["second"], type=PATH, metavar="AFTER"),
    "tolerated drop": option("--max-drop", "Points of mIoU that may be lost.", click.FloatRange(0), default=0.3),
    "tolerated slowdown": option(
        "--max-slowdown", "Share of a speed-up that may be lost.", click.FloatRange(0, 1, max_open=True), default=0.03
    ),
    "points": several("--points", "candidates.csv or chosen.csv, whose operating points are added."),
    "intervals": option("--intervals", "intervals.csv.", **OPTIONAL),
    "select": option("--select", "Accuracy on the split that points are chosen on.", **OPTIONAL),
    "chosen": option("--chosen", "chosen.csv.", **OPTIONAL),
    "transferred": option("--transferred", "chosen.csv of another experiment.", **OPTIONAL),
    "robustness": option("--robustness", "robustness.csv.", **OPTIONAL),
    "candidates": option("--candidates", "candidates.csv."),
    "trained": several("--run", "Folder of a trained run, once per backbone and recipe."),
    "all accuracy": option("--accuracy", "accuracy.csv of all recipes."),
    "accuracy": several("--accuracy", "accuracy.csv of all runs, if there are any."),
    "attribution": several("--attribution", "attribution.csv of `paumer semantics`, once per run."),
    "calibration": several("--calibration", "calibration.csv of `paumer semantics`, once per run."),
    "variants": several("--variant variants", "accuracy.csv of a run of an ablation; once for each.", required=True),
    "table": option("--table", "tables/main.csv; without accuracy, tables/speed.csv."),
    "equal speed": option("--equal-speed", "tables/equal_speed.csv.", **OPTIONAL),
    "logs": several("--log logs", "train.csv, once per run."),
    "semantics": several("--semantics", "Folder of `paumer semantics`, once per run."),
    "as paper": flag("--paper", "As pdf, for one and for two columns of a paper."),
    "runs": several("--run runs", "run.json, once per run."),
    "experiments": several("--experiment", "Experiment file; once for each of the paper's datasets.", required=True),
    "main tables": several("--main", "Its tables/main.csv, in the same order.", required=True),
    # Of networks in use
    "CHECKED": click.Argument(["target"], required=False, metavar="NAME|FILE.py"),
    "WHAT": click.Argument(["what"], type=click.Choice(["strategy"])),
    "NAME": click.Argument(["name"]),
    "folder?": option("--output", "Folder to write; by default of the strategy's name.", **OPTIONAL),
    "RUN": click.Argument(["folder"], type=PATH, metavar="RUN"),
    "TUNED": click.Argument(["run_folder"], type=PATH, metavar="RUN"),
    "EXPORTED": click.Argument(["names"], nargs=-1, required=True, metavar="[hub|onnx|torch] RUN"),
    "schedule": option("--schedule", "Operating point, such as 3:0.4; dense by default.", str, **OPTIONAL),
    "strategy": option("--strategy", "What the schedule is of; docs/strategies.md.", str, default="pause"),
    "criterion": option("--criterion", "What decides which patches pause; the usual one by default.", str, default=""),
    "speedup": option("--speedup", "The most accurate point known to be so many times as fast.", float, **OPTIONAL),
    "data?": option("--data manifest", "data.json of its data; that of its experiment by default.", **OPTIONAL),
    "evaluation": option(
        "--evaluation",
        "How images are seen (windows, short side, scales): an experiment, or its `evaluation`, as YAML file or text "
        "in braces. By default in windows as large as the training crops.",
        str,
        verbs.read_evaluation,
        **OPTIONAL,
    ),
    "images": option("--images -i source", "An image, or a folder of images; with --fps also a video."),
    "formats": several("--format formats", "overlay (the usual one), ids, or cityscapes (ids for its server).", str),
    "pause maps": flag("--pause-maps", "Also draw which patch paused after which block."),
    "fps": option(
        "--fps",
        "Keep up with so many frames a second, each at the most accurate operating point that does.",
        float,
        **OPTIONAL,
    ),
    "compare": option("--compare", "Operating points to draw side by side: dense,3:0.4.", str, default=""),
    "size": option("--size", "Height and width of the images, 512x1024; the windows' by default.", str, **OPTIONAL),
    "half": flag("--half", "Of a folder: store weights as float16, half the size; they run as float32."),
    "speeds": flag("--speeds/--no-speeds", "Of a folder: tell measured images/s and speed-ups in the card.", True),
    "note": option("--note", "Of a folder: how the network was made, for the card; Markdown.", str, default=""),
    "picture": option("--output -o output", "Picture to write.", default="demo.png"),
    "image": option("--image -i image", "An image of your own; by default scenes are drawn.", **OPTIONAL),
    "schedules": option(
        "--schedules",
        "Compared with dense; the picture shows the first.",
        str,
        verbs.split_list,
        default="1:0.4,1:0.2,3:0.4",
    ),
    "seed": option("--seed", "Of the drawn scenes.", click.IntRange(0), default=0),
    # Of the choice of a schedule
    "budget speedup": option("--speedup", "Budget: this many times as fast as unpaused.", float, **OPTIONAL),
    "budget drop": option("--max-drop", "Budget: at most so many points of mIoU below unpaused.", float, **OPTIONAL),
    "budget images/s": option("--images-per-second", "Budget: at least this many images/s.", float, **OPTIONAL),
    "chosen on": option("--split", "Split to choose on; its mIoU is flattered.", str, default="val"),
    "few": option("--images", "Images of the split to choose on; all by default.", int, **OPTIONAL),
    "batch": option("--batch", "Images per forward pass while speed is measured.", int, default=1),
    "by": option("--criterion", "What decides which patches pause.", str, default="entropy"),
    "locations": option("--locations", "Pause after up to this many blocks.", int, default=2),
    "scales": option("--scales", "Shares of height and width to search on, as 1,0.9,0.8.", str, default="1"),
    "as evaluated": option(
        "--evaluation", "As `evaluation` of an experiment.", str, verbs.read_evaluation, default="{}"
    ),
}
RUN = "RUN is the folder of a trained run, or one that `paumer export hub` wrote; or demo."


class Verbs(click.Group):
    """The verbs, in the order in which they are added."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Their names."""
        return list(self.commands)

    def verb(self, name: str, text: str, run: Any, *options: str, section: str = "", table: str | None = None) -> None:
        """Add a verb that runs a stage, `module:function`, or a function of paumer/verbs.py, with options in words of
        OPTIONS; of a stage `section` and `table` are as `run_stage` takes them.
        """
        callback = partial(verbs.run_stage, run, section, table) if isinstance(run, str) else run
        chosen = [OPTIONS[word.strip()] for words in options for word in words.split(",")]
        self.add_command(click.Command(name, params=chosen, callback=callback, help=text))


app = Verbs(
    help="Patch pausing for semantic segmentation: train, evaluate, measure and report, one verb a stage.",
    no_args_is_help=True,
)
click.version_option(package_name="paumer", message="%(version)s")(app)

app.verb("doctor", "Check versions, device, threads and disk, and whether torch fits.", "system.doctor:examine")
app.verb(
    "schema",
    "Write the schema of the configuration, the table of its keys, and the page of strategies and recipes.",
    "config.documents:write_schema",
    "schema, keys",
)
app.verb(
    "data",
    "Draw, find or fetch the dataset, check every file, and describe it; only fetch a DATASET that is named.",
    verbs.data,
    "DATASET, section, prepared, threads",
)
app.verb("colours", "Write the colours of the dataset's classes.", "data.preparation:write_colours", "data, output")
app.verb(
    "samples",
    "Draw nine samples of the dataset with their labels.",
    "reporting.figures.samples:draw_samples",
    "data, split, output",
)
app.verb(
    "bounds",
    "Measure what frames every mIoU: the ceiling of the patch size, and a linear classifier on raw patches.",
    "evaluation.bounds:bounds",
    "settings, data, output, threads",
    section="config.runs:BoundsSettings",
    table="",
)
app.verb(
    "train",
    "Train one network; run again after a kill, it goes on where it stopped.",
    verbs.train,
    "settings, data, output, checkpoint, start, devices, threads",
)
app.verb(
    "evaluate",
    "Measure the accuracy of a trained network at all its operating points.",
    "evaluation.evaluate:evaluate",
    "settings, data, run, points, output, threads",
    section="config.runs:EvaluateSettings",
    table="",
)
app.verb(
    "semantics",
    "Relate what the auxiliary heads are certain of to the ground truth of every patch.",
    "evaluation.semantics:semantics",
    "settings, data, run, output, threads",
    section="config.runs:SemanticsSettings",
    table="composition.csv",
)
app.verb(
    "robustness",
    "Measure the accuracy of a trained network on corrupted images.",
    "evaluation.robustness:robustness",
    "settings, data, run, output, threads",
    section="config.runs:RobustnessSettings",
    table="",
)
app.verb(
    "flops",
    "Count multiply-accumulates (GMAC) of every operating point.",
    "measurement.flops:flops",
    "settings, data, output",
    section="config.runs:CostSettings",
    table="",
)
app.verb(
    "candidates",
    "Find parameters of every method for the same speed-ups, by timing this device.",
    "measurement.candidates:candidates",
    "settings, data, output, threads",
    section="config.runs:CandidateSettings",
    table="",
)
app.verb(
    "choose",
    "Of the candidates for a speed-up take the most accurate one of every method.",
    "reporting.choose:choose",
    "all accuracy, candidates, output",
)
app.verb(
    "throughput",
    "Measure images/s of every operating point against dense, interleaved, with intervals.",
    verbs.throughput,
    "settings, data, trained, points, output, rounds, machine, quick, threads",
)
app.verb(
    "collect",
    "Put the rows of several CSV files with the same columns into one.",
    "reporting.tables.write:collect",
    "TABLES, output",
)
app.verb(
    "uncertainty",
    "Draw seeds and images anew, for 95% intervals of the drop of every operating point.",
    "reporting.uncertainty:uncertainty",
    "ACCURACIES, output",
)
app.verb(
    "tables",
    "Join accuracy, GMAC and images/s into the tables.",
    "reporting.tables.write:write_tables",
    "accuracy, flops, throughput, bounds, published, data, attribution, calibration, output",
    "intervals, select, chosen, transferred, robustness",
)
app.verb(
    "ablation",
    "Compare recipe paumer with its ablations.",
    "reporting.tables.ablation:write_ablation",
    "all accuracy, variants, output",
)
app.verb(
    "speed",
    "Put images/s in every setting beside GMAC; needs no accuracy.",
    "reporting.tables.speed:write_speed",
    "flops, throughput, output",
)
app.verb(
    "maps",
    "Draw what pauses where: image, entropy, paused patches, prediction, truth; to a .pdf for a paper.",
    "reporting.figures.maps:draw_pause_maps",
    "settings, data, run, output, threads",
    section="config.runs:MapsSettings",
)
app.verb(
    "figures",
    "Draw the plots of the report, or with --paper those of a paper.",
    verbs.figures,
    "table, accuracy, logs, semantics, equal speed, as paper, output",
)
app.verb("report", "Write report.html of a FOLDER results/EXPERIMENT, one page.", verbs.report, "FOLDER, runs")
app.verb(
    "paper",
    "Put experiments on the paper's datasets beside each other and its claims; name what had to be chosen.",
    verbs.paper,
    "experiments, main tables, published, segmenter, output",
)
app.verb(
    "provenance",
    "Print as JSON where a FILE of results/EXPERIMENT comes from: settings, code, environment, data.",
    verbs.provenance,
    "FILE",
)
app.verb(
    "verify",
    "Recompute the tables of a FOLDER results/EXPERIMENT from the raw files; fail if anything differs.",
    verbs.verify,
    "FOLDER, published",
)
app.verb(
    "merge",
    "Merge FOLDERs results/EXPERIMENT of several machines, seeds or people into one board: tables and a page.",
    "reporting.merge:merge",
    "FOLDERS, output",
)
app.verb(
    "compare",
    "Find what a run lost since one BEFORE, two FOLDERs of one experiment; fail if it is more than noise.",
    verbs.compare,
    "BEFORE, AFTER, tolerated drop, tolerated slowdown",
)
app.verb(
    "tune",
    f"Choose where and how much to pause for one budget: a speed-up, a drop in mIoU, or images/s.\n\n{RUN}",
    verbs.tune,
    "TUNED, data, budget speedup, budget drop, budget images/s, chosen on, few, batch, by, locations, scales",
    "as evaluated, quick, device, threads, output?",
)
app.verb(
    "predict",
    f"Predict images of your own: pictures, class ids, pause maps, comparisons; videos.\n\n{RUN}",
    verbs.predict,
    "RUN, images, output, formats, pause maps, schedule, strategy, criterion, speedup, compare, fps",
    "data?, evaluation, device, threads",
)
app.verb(
    "demo",
    "See within a minute what pausing does, with a small network that comes with the package.",
    "deployment.demo:demo",
    "picture, image, schedules, seed, threads",
)
app.verb(
    "export",
    "Write a network for others: a graph at one operating point (.onnx, .pt2), which is checked, or a folder.\n\n"
    f"{RUN} Before it the format, which the ending of the output says otherwise.",
    verbs.export,
    "EXPORTED, output, schedule, strategy, criterion, speedup, size, data?, evaluation, half, speeds, note",
)

app.verb(
    "check",
    "Check a strategy, criterion or dataset, by name or file: a line per check. Without, list what plug-ins brought.",
    "deployment.extending.check:check",
    "CHECKED",
)
app.verb(
    "new",
    "Write a package with a strategy to start from: new strategy NAME.",
    "deployment.extending.scaffold:new",
    "WHAT, NAME, folder?",
)


def main() -> None:
    """Run the command line; a user's mistake becomes one line and exit code 1."""
    die_with_parent()
    with exit_on_user_error():
        app()
