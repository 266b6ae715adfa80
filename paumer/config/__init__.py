"""The typed description of an experiment: the one source of its keys, defaults, checks and documentation.

Imports no torch: the workflow plans with it.
"""

from paumer.config.base import NAME, Section, Size, parse
from paumer.config.experiment import Experiment, read_evaluation
from paumer.config.measuring import Evaluation, Figures, Sweep, SweepItem, Throughput, sweep_points
from paumer.config.network import (
    STATISTICS,
    Backbone,
    Data,
    Decoder,
    Heads,
    Normalization,
    Scenes,
    Statistics,
    check_heads,
)
from paumer.config.training import (
    EXECUTION,
    Augmentation,
    Merging,
    Pausing,
    Phase,
    Resizing,
    Training,
    TrainingOptions,
)

__all__ = [
    "EXECUTION",
    "NAME",
    "STATISTICS",
    "Augmentation",
    "Backbone",
    "Data",
    "Decoder",
    "Evaluation",
    "Experiment",
    "Figures",
    "Heads",
    "Merging",
    "Normalization",
    "Pausing",
    "Phase",
    "Resizing",
    "Scenes",
    "Section",
    "Size",
    "Statistics",
    "Sweep",
    "SweepItem",
    "Throughput",
    "Training",
    "TrainingOptions",
    "check_heads",
    "parse",
    "read_evaluation",
    "sweep_points",
]
