"""Options that several verbs share, and how they are read. Imports no torch at module level."""

from pathlib import Path
from typing import Annotated, Any

import typer

Settings = Annotated[str, typer.Option(help="YAML file, or YAML text in braces, with this stage's settings.")]
Manifest = Annotated[Path, typer.Option("--data", help="data.json that `paumer data` wrote.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads; all of this process by default.")]
Output = Annotated[Path, typer.Option(help="File to write.")]
Folder = Annotated[Path, typer.Option(help="Folder to write to.")]


def read_settings(model: Any, text: str) -> Any:
    """Read and check a stage's settings."""
    from paumer.config import parse
    from paumer.system.files import read_yaml

    return parse(model, *read_yaml(text))


def on_gpu(settings: Any, count: int = 1) -> Any:
    """Give the settings of a stage back, with `count` GPUs of its own for this process if it computes on any."""
    from paumer.system.locks import hold_gpus

    hold_gpus(settings.device, count)
    return settings


def record(output: Path, settings: Any, manifest: Path, *inputs: Path) -> None:
    """Write what a table was measured with beside it."""
    from paumer.system.machine import record as write_record

    write_record(output, settings, manifest, *inputs)


def use_threads(threads: int | None) -> int:
    """Let torch use so many threads, and keep freed memory; give their number."""
    from paumer.system.machine import keep_freed_memory, set_threads

    keep_freed_memory()
    return set_threads(threads)
