"""The floor: the blocks of pausing, and nothing else."""

from contextlib import contextmanager

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from paumer.measurement.floor import Floor
from paumer.strategies.notation import Schedule
from paumer.strategies.pause import Pause

OVERHEAD = {"gather", "index_select", "index_copy_", "scatter", "topk", "sort", "index", "cat", "arange"}


class Record(TorchDispatchMode):
    """Remember the names of all operations."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@contextmanager
def inputs_of(modules):
    """Record the shapes that go into modules."""
    shapes = []
    hooks = [module.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape)) for module in modules]
    yield shapes
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("text", ["2:0.4", "2:0.2+4:0.3"])
def test_floor_runs_blocks_and_decoder_on_the_token_counts_of_pausing(make, text) -> None:
    model, schedule = make(), Schedule(text)
    floor, shapes = Floor(schedule), []
    for strategy in (Pause(schedule), floor, floor):
        with inputs_of([*model.encoder.blocks, model.decoder]) as seen:
            assert model(torch.randn(2, 3, 32, 64), strategy).shape == (2, 19, 32, 64)
        shapes.append(seen)
    assert shapes[0] == shapes[1] == shapes[2]


def test_floor_reads_no_head(make) -> None:
    model, schedule = make(), Schedule("2:0.2+4:0.3")
    with inputs_of(model.heads.values()) as seen:
        model(torch.randn(2, 3, 32, 64), Floor(schedule))
    assert seen == []
    with inputs_of(model.heads.values()) as seen:
        model(torch.randn(2, 3, 32, 64), Pause(schedule))
    assert len(seen) == 2


def test_once_warm_the_floor_does_nothing_but_run_the_blocks(make) -> None:
    model, schedule, images = make(), Schedule("2:0.2+4:0.3"), torch.randn(2, 3, 32, 64)
    model(images, floor := Floor(schedule))
    recorded = {}
    for strategy in (Pause(Schedule()), floor, Pause(schedule)):
        with Record() as record:
            model(images, strategy)
        recorded[strategy.name, strategy.schedule_text] = [name for name in record.names if name in OVERHEAD]
    dense, cut, paused = recorded.values()
    assert cut == dense
    assert {"index_select", "index_copy_", "topk"} <= set(paused)


def test_one_floor_serves_several_shapes(make) -> None:
    model, floor = make(), Floor(Schedule("2:0.5"))
    for shape in [(2, 3, 32, 64), (1, 3, 32, 64), (2, 3, 64, 64), (2, 3, 32, 64)]:
        with inputs_of(model.encoder.blocks) as seen:
            model(torch.randn(shape), floor)
        patches = shape[2] * shape[3] // 64
        assert [tuple(entered[:2]) for entered in seen] == [(shape[0], 1 + patches)] * 2 + [
            (shape[0], 1 + patches // 2)
        ] * 4
