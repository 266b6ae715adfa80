"""Blocks compiled for training."""

from collections.abc import Iterator
from contextlib import contextmanager

from paumer.errors import PaumerError, summary
from paumer.models.segmenter import Segmenter


def compile_blocks(model: Segmenter) -> None:
    """Compile the encoder's blocks, each for any number of tokens: schedules leave many different ones.

    Blocks that run in two halves, because tokens merge between them, run as they are.
    """
    for block in model.encoder.blocks:
        block.compile(dynamic=True)


@contextmanager
def compiling(enabled: bool) -> Iterator[None]:
    """Say in a line what keeps blocks from being compiled.

    Raises:
        PaumerError: the compiler fails, or what it needs is missing.
    """
    if not enabled:
        yield
        return
    from torch._dynamo.exc import TorchDynamoException

    try:
        yield
    except TorchDynamoException as error:
        raise PaumerError(
            f"training.options.compile: blocks cannot be compiled here ({summary(error)}); set it to false"
        ) from None
