# Progress of running jobs on the terminal. Resource `expected_seconds` of a rule is its expected duration.
from paumer.system.locks import visible_gpus
from paumer.system import terminal
from paumer.measurement.durations import Durations

DURATIONS = Durations(experiment, on_gpu=bool(GPUS and visible_gpus()))

terminal.follow(workflow)
