# The experiment, checked once, and what the rules share.
import os
import shlex
import sys
from pathlib import Path

# Planning needs paumer even where only the rules' environments have it installed. `workflow.basedir` would be that of
# the workflow which uses this one as a module.
ROOT = os.path.normpath(f"{workflow.current_basedir}/../..")
sys.path.insert(0, ROOT)
try:
    import paumer
except ModuleNotFoundError:  # a module that Snakemake fetched, file by file
    sys.exit(
        "paumer: error: the Python package is not installed where Snakemake runs; config/README.md says how"
    )

from paumer.system import plugins
from paumer.system.errors import exit_on_user_error

with exit_on_user_error():
    from paumer.config import runs as stages
    from paumer.config.base import parse as parse_section, read_yaml
    from paumer.config.experiment import Experiment

    # Snakemake takes the last of several keys of one name; here they are an error.
    for path in workflow.configfiles:
        read_yaml(str(path))
    beside = [Path(path).parent for path in workflow.configfiles]
    experiment = parse_section(Experiment, config, "configuration", beside)

# Every stage loads the plug-ins; on a cluster, too, where each job reads this file.
named_before = os.environ.get(plugins.VARIABLE, "").split(os.pathsep)
os.environ[plugins.VARIABLE] = os.pathsep.join(
    dict.fromkeys(filter(None, [*named_before, *experiment.plugins]))
)

RESULTS = f"{os.path.expanduser(experiment.results)}/{experiment.experiment}"
# What published work reports; a copy where the workflow is no folder of this machine.
PUBLISHED = f"{ROOT}/results/reference/published.csv"
if not os.path.isfile(PUBLISHED):
    PUBLISHED = workflow.source_path("../../results/reference/published.csv")
LOGS = f"logs/{experiment.experiment}"
# Elsewhere only where a job does not see what the one before it wrote: in the pods of a Kubernetes cluster.
CHECKPOINTS = os.path.expanduser(
    os.environ.get("PAUMER_CHECKPOINTS", f"{RESULTS}/checkpoints")
)
MANIFEST = f"{RESULTS}/data.json"
RUN = f"{RESULTS}/runs/{{backbone}}/{{recipe}}/seed{{seed}}"
BACKBONES = [backbone.name for backbone in experiment.backbones]
# Heavy jobs take the machine to themselves: two of them at once are no faster than one after the other. Where the cores
# are not known, on a cluster or in a dry run, they ask for eight; `--set-threads` changes that.
ALL_CORES = workflow.resource_settings.cores or 8
# What a job that trains, evaluates or measures speed asks for. With `--resources gpu=4` four jobs run at once, each on
# a GPU and a quarter of the cores; only what is timed still has the machine to itself.
GPUS = 0 if experiment.device == "cpu" else 1
DEVICES = "{resources.gpu}" if GPUS else str(experiment.training.devices)
COUNTED = getattr(workflow.global_resources.get("gpu"), "value", None)
GPU_CORES = max(1, ALL_CORES // COUNTED) if GPUS and COUNTED else ALL_CORES
# An experiment without recipes trains nothing: it measures GMAC and images/s alone.
TRAINS = bool(experiment.training.recipes)
PAUSES = "paumer" in experiment.training.recipes
NOTHING = "(?!)"  # matches no text
SEMANTICS = [
    f"{RUN}/semantics/{name}.csv"
    for name in (
        "composition",
        "groups",
        "boundary",
        "correlation",
        "attribution",
        "calibration",
    )
]
# The parameters of the methods that are compared at equal speed.
CHOSEN = f"{RESULTS}/chosen.csv"
# And those that another experiment chose, copied so that the results hold all that they rest on.
TRANSFERRED = f"{RESULTS}/transferred.csv"
COMPARED = []
if TRAINS and experiment.comparison.methods:
    COMPARED = [CHOSEN, *([TRANSFERRED] if experiment.comparison.transferred else [])]
TIMED = stages.CostSettings.of(experiment, timed=True)
SHARED = ["shared"] if experiment.training.shared_phase else []
ABLATIONS = [f"{stages.ABLATION}{name}" for name in experiment.ablations]


wildcard_constraints:
    backbone="|".join(BACKBONES),
    recipe="|".join([*experiment.training.recipes, *SHARED, *ABLATIONS]) or NOTHING,
    seed=r"\d+",


def runs(pattern, names=None):
    """A file of every trained run: of all recipes, or of the named recipes and ablations, which controls lack."""
    backbones = experiment.backbones if names is None else experiment.main_backbones
    return [
        path
        for backbone in backbones
        for path in expand(
            pattern,
            backbone=backbone.name,
            recipe=experiment.recipes_of(backbone) if names is None else names,
            seed=experiment.seeds,
        )
    ]


def text(settings):
    """A stage's settings as one argument of the command line.

    Given as a function: in plain text Snakemake takes braces, as in a folder `{1}`, for wildcards.
    """

    def written(wildcards):
        return settings.model_dump_json()

    return written


def data_state(wildcards):
    """Another text where the dataset is not what it was when stage `data` checked it."""
    try:
        from paumer.data.manifest import state
    except ModuleNotFoundError:
        return ""  # only the rules' environments have NumPy and Pillow
    return state(experiment.data, Path(MANIFEST))


def class_colours(wildcards):
    """Another text where the classes have other colours."""
    try:
        from paumer.data.manifest import colours_now
    except ModuleNotFoundError:
        return ""
    return colours_now(experiment.data, Path(MANIFEST))


def chosen_points(wildcards):
    """What was chosen for a comparison at equal speed; of ablations none."""
    return COMPARED if wildcards.recipe in experiment.training.recipes else []


def run_folder(wildcards, input):
    """Folder of the (first) run whose weights a rule reads."""
    weights = input.weights if isinstance(input.weights, str) else input.weights[0]
    return os.path.dirname(weights)


def output_folder(wildcards, output):
    """Folder that a rule writes to."""
    return os.path.dirname(output[0])


def shared_run(wildcards):
    """Weights that a recipe starts from, and their description."""
    if wildcards.recipe == "shared" or not SHARED:
        return []
    return expand(
        f"{RUN}/{{file}}",
        backbone=wildcards.backbone,
        recipe="shared",
        seed=wildcards.seed,
        file=["model.safetensors", "run.json"],
    )


def train_settings(wildcards):
    """This run's part of the configuration."""
    return stages.TrainSettings.of(
        experiment, wildcards.backbone, wildcards.recipe, int(wildcards.seed)
    ).model_dump_json()


def evaluate_settings(wildcards):
    """What this run is evaluated at."""
    return stages.EvaluateSettings.of(
        experiment, wildcards.backbone, wildcards.recipe
    ).model_dump_json()


def select_settings(wildcards):
    """What this run is evaluated at on the split that operating points are chosen on."""
    return stages.EvaluateSettings.of(
        experiment, wildcards.backbone, wildcards.recipe, select=True
    ).model_dump_json()


def train_split(wildcards):
    """The split that networks train on, whose name may have braces."""
    return experiment.data.train_split


def needed_first(wildcards):
    """Priority of a run: first what the pause maps need, so that a picture of results is there soon."""
    return int(wildcards.recipe == "paumer")


def checkpoint_folder(wildcards):
    """Where a run keeps its checkpoints."""
    return f"{CHECKPOINTS}/{wildcards.backbone}/{wildcards.recipe}/seed{wildcards.seed}"


def repeated(option, name, folders=False):
    """An option once for every file of the named input, or once for every folder that such files are in."""

    def text(wildcards, input):
        paths = [input[name]] if isinstance(input[name], str) else input[name]
        if folders:
            paths = dict.fromkeys(map(os.path.dirname, paths))
        return " ".join(f"{option} {shlex.quote(path)}" for path in paths)

    return text


def further_tables(wildcards, input):
    """Intervals over images, and what was chosen on another split, where there is one."""
    names = ("intervals", "select", "chosen", "transferred", "robustness")
    return " ".join(repeated(f"--{name}", name)(wildcards, input) for name in names)


def timed_runs(file):
    """A file of every run whose network is timed."""
    return expand(
        f"{RUN}/{file}",
        backbone=[backbone.name for backbone in TIMED.main_backbones],
        recipe=TIMED.timed_recipes(),
        seed=experiment.seeds[0],
    )
