"""`torch.export` of a network under one strategy: one graph for images of one size, in batches of any number."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from paumer.config import Size
from paumer.errors import PaumerError, summary
from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Strategy

INPUT = "images"
EXAMPLES = 3  # any number but 1, which tracing would take for a constant
LABELS = ("stack_trace", "nn_module_stack", "torch_fn")  # where the code lay when it was traced


class Forward(nn.Module):
    """A network under one strategy, as a module of images alone.

    Attributes:
        method: of the network, called with images and strategy.
    """

    def __init__(self, model: Segmenter, strategy: Strategy, method: str = "forward") -> None:
        super().__init__()
        self.model, self.strategy, self.method = model, strategy, method

    def forward(self, images: Tensor) -> Tensor:
        """From normalised images (batch, 3, height, width) to what the method gives."""
        return getattr(self.model, self.method)(images, self.strategy)


def trace(model: Segmenter, strategy: Strategy, size: Size, method: str = "forward") -> ExportedProgram:
    """The graph of a network under one strategy; weights that it does not need are emptied.

    Args:
        model: in eval mode.
        strategy: what happens between its blocks.
        size: height and width of the images.
        method: what the graph computes, `forward` (logits at their size), `predict_labels` or `patch_logits`.

    Raises:
        PaumerError: what is computed depends on what the images show, or is nothing that can be exported.
    """
    module = Forward(model, strategy, method).eval()
    example = torch.zeros(EXAMPLES, 3, *size, device=next(model.parameters()).device)
    try:
        with _as_ordinary_tensors():
            program = torch.export.export(module, (example,), dynamic_shapes={INPUT: {0: Dim("batch")}})
    except Exception as error:  # the compiler fails in many ways
        raise PaumerError(
            f"{strategy.name} {strategy.schedule_text}: cannot be exported ({summary(error)}); a graph holds fixed "
            "shares of patches alone, such as pause 3:0.4"
        ) from None
    program.example_inputs = None  # they would be stored as well
    _empty_unused_weights(program)
    _forget_where(program)
    return program


def weight_bytes(program: ExportedProgram) -> int:
    """How large the weights of a graph are."""
    return sum(value.numel() * value.element_size() for value in program.state_dict.values())


@contextmanager
def _as_ordinary_tensors() -> Iterator[None]:
    """Trace without gradients, but not in inference mode, whose tensors tracing does not take."""
    with torch.inference_mode(False), torch.no_grad():
        yield


def _empty_unused_weights(program: ExportedProgram) -> None:
    """Empty weights that nothing in the graph reads, such as heads at other blocks and blocks after an exit."""
    read = {node.name for node in program.graph.nodes if node.op == "placeholder" and node.users}
    signature = program.graph_signature
    for name, weight in (signature.inputs_to_parameters | signature.inputs_to_buffers).items():
        if name not in read and weight in program.state_dict:
            empty = program.state_dict[weight].detach().new_empty(0)
            program.state_dict[weight] = nn.Parameter(empty, requires_grad=False)


def _forget_where(program: ExportedProgram) -> None:
    """Remove the file names and lines of this machine from the graph."""
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                for label in LABELS:
                    node.meta.pop(label, None)
