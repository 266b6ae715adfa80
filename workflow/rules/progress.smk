# Where the jobs stand while they run, and how long it takes: rules say so in seconds, by resource `expected_seconds`.
from paumer.gpus import visible_gpus
from paumer.planning import terminal
from paumer.planning.durations import Durations

DURATIONS = Durations(experiment, on_gpu=bool(GPUS and visible_gpus()))

terminal.follow(workflow)
