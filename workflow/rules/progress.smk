# Progress of running jobs on the terminal. Resource `expected_seconds` of a rule is its expected duration.
from paumer.system.locks import visible_gpus
from paumer.system import terminal
from paumer.measurement.durations import Durations

DURATIONS = Durations(experiment, on_gpu=bool(GPUS and visible_gpus()))

terminal.follow(workflow)


def data_seconds(wildcards, threads):
    return DURATIONS.data(threads)


def train_seconds(wildcards, threads):
    return DURATIONS.train(wildcards.backbone, wildcards.recipe, threads)


def evaluate_seconds(wildcards, threads):
    return DURATIONS.evaluate(wildcards.backbone, wildcards.recipe, threads)


def robustness_seconds(wildcards, threads):
    return DURATIONS.robustness(wildcards.backbone, threads)


def semantics_seconds(wildcards, threads):
    return DURATIONS.semantics(wildcards.backbone, threads)


def throughput_seconds(wildcards, threads):
    return DURATIONS.throughput(threads)
