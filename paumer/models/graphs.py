"""Export a network under one strategy by `torch.export`, to ONNX, and run ONNX models by onnxruntime.

A graph is for images of one size, in batches of any number.
"""

import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from paumer.config.base import Size
from paumer.strategies.contract import Strategy
from paumer.system.errors import PaumerError, summary
from paumer.system.machine import synchronize

if TYPE_CHECKING:
    from onnx import ModelProto

INPUT, OUTPUT = "images", "output"
EXAMPLES = 3  # any number but 1, which tracing would take for a constant
LABELS = ("stack_trace", "nn_module_stack", "torch_fn")  # file names and lines of the traced code
OPSET = 20
LARGEST = 2**31  # bytes of one protocol buffer
CUDA = "CUDAExecutionProvider"
TYPES = {"tensor(float)": torch.float32, "tensor(int64)": torch.int64}
NUMPY = {torch.float32: np.float32, torch.int64: np.int64}


class Forward(nn.Module):
    """A network under one strategy, as a module of images alone.

    Attributes:
        method: of the network, called with images and strategy.
    """

    def __init__(self, model: nn.Module, strategy: Strategy, method: str = "forward") -> None:
        super().__init__()
        self.model, self.strategy, self.method = model, strategy, method

    def forward(self, images: Tensor) -> Tensor:
        """From normalised images (batch, 3, height, width) to the output of the method."""
        return getattr(self.model, self.method)(images, self.strategy)


def trace(model: nn.Module, strategy: Strategy, size: Size, method: str = "forward") -> ExportedProgram:
    """The graph of a network under one strategy; weights that it does not need are emptied.

    Args:
        model: a Segmenter in eval mode.
        strategy: what happens between its blocks.
        size: height and width of the images.
        method: what the graph computes, `forward` (logits at their size), `predict_labels` or `patch_logits`.

    Raises:
        PaumerError: the computation depends on the content of images, or has no export.
    """
    module = Forward(model, strategy, method).eval()
    example = torch.zeros(EXAMPLES, 3, *size, device=next(model.parameters()).device)
    try:
        with torch.inference_mode(False), torch.no_grad():  # tracing takes no tensors of inference mode
            program = torch.export.export(module, (example,), dynamic_shapes={INPUT: {0: Dim("batch")}})
    except Exception as error:  # the compiler fails in many ways
        raise PaumerError(
            f"{strategy}: cannot be exported ({summary(error)}); a graph holds fixed "
            "shares of patches alone, such as pause 3:0.4"
        ) from None
    program.example_inputs = None  # they would be stored as well
    _empty_unused_weights(program)
    _forget_where(program)
    return program


def weight_bytes(program: ExportedProgram) -> int:
    """The size of the weights of a graph."""
    return sum(value.numel() * value.element_size() for value in program.state_dict.values())


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


def require_onnx() -> None:
    """Check that the packages that write and run ONNX are installed.

    Raises:
        PaumerError: it is not.
    """
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise PaumerError(f"{missing[0]}: not installed, and ONNX needs it; pip install 'paumer[onnx]'")


def to_onnx(program: ExportedProgram, output: str = OUTPUT, notes: Mapping[str, str] | None = None) -> "ModelProto":
    """A traced graph as an ONNX model, whose one input is `images` (batch, 3, height, width).

    Args:
        program: as `trace` gives it.
        output: the name of its one output.
        notes: its `metadata_props`.

    Raises:
        PaumerError: ONNX is not installed, has no such operation, or cannot hold so large a model in one file.
    """
    require_onnx()
    import onnx

    if weight_bytes(program) >= LARGEST:
        raise PaumerError(
            f"onnx: weights of {weight_bytes(program) / 2**30:.1f} GiB do not fit into one ONNX file of 2 GiB; use "
            "`paumer export torch`"
        )
    try:
        with warnings.catch_warnings(action="ignore"):
            converted = torch.onnx.export(
                program, dynamo=True, verbose=False, opset_version=OPSET, output_names=[output]
            )
    except Exception as error:  # the exporter lets through whatever its translations raise
        cause = error.__cause__ or error
        raise PaumerError(f"onnx: the graph has no translation ({summary(cause)}); use `paumer export torch`") from None
    assert converted is not None
    model = converted.model_proto
    _tidy(model)
    onnx.helper.set_model_props(model, dict(notes or {}))
    return model


def _tidy(model: "ModelProto") -> None:
    """Name the batch size `batch`, and remove the notes of the exporter about the code."""
    graph = model.graph
    symbol = next(value.type.tensor_type.shape.dim[0].dim_param for value in graph.input if value.name == INPUT)
    for value in (*graph.input, *graph.output, *graph.value_info):
        del value.metadata_props[:]
        for side in value.type.tensor_type.shape.dim:
            if side.dim_param == symbol:
                side.dim_param = "batch"
    for part in (*graph.node, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]


class Session:
    """An ONNX model of one input, `images`, and one output; called as a function of images.

    Args:
        model: serialised, or the file that holds it.
        device: a processor, whose threads are those of torch, or a GPU.

    Raises:
        PaumerError: onnxruntime is not installed, cannot read the model, or has no provider for the device.
    """

    def __init__(self, model: bytes | Path, device: torch.device) -> None:
        require_onnx()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
        options.log_severity_level = 3
        # Threads that wait for more work by spinning would slow down whatever runs next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.device, chosen = device, providers(device)
        source = str(model) if isinstance(model, Path) else model
        try:
            self._session = onnxruntime.InferenceSession(source, options, providers=chosen)
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise PaumerError(f"onnxruntime: cannot run the model ({summary(error)}); export it again") from None
        [output] = self._session.get_outputs()
        self._name, self._shape, self._type = output.name, output.shape[1:], TYPES[output.type]

    def __call__(self, images: Tensor) -> Tensor:
        """From images (batch, 3, height, width) float32 on the device to the model's output there.

        Raises:
            OutOfMemoryError: torch's, where memory does not suffice.
        """
        images = images.contiguous()
        output = torch.empty(images.shape[0], *self._shape, dtype=self._type, device=self.device)
        binding = self._session.io_binding()
        place = (self.device.type, self.device.index or 0)
        binding.bind_input(INPUT, *place, NUMPY[images.dtype], tuple(images.shape), images.data_ptr())
        binding.bind_output(self._name, *place, NUMPY[self._type], tuple(output.shape), output.data_ptr())
        synchronize(self.device)  # onnxruntime has a stream of its own
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:
            if "allocat" in str(error):
                raise torch.OutOfMemoryError(str(error)) from None
            raise
        return output


def providers(device: torch.device) -> list[Any]:
    """The execution providers for a device; on a GPU with the precision of torch's matrix products.

    Raises:
        PaumerError: this onnxruntime cannot.
    """
    import onnxruntime

    if device.type != "cuda":
        return ["CPUExecutionProvider"]
    if CUDA not in onnxruntime.get_available_providers():
        raise PaumerError(
            "onnxruntime: this build has no CUDA provider; pip uninstall onnxruntime && pip install onnxruntime-gpu"
        )
    tf32 = int(torch.backends.cuda.matmul.allow_tf32)
    return [(CUDA, {"device_id": device.index or 0, "use_tf32": tf32}), "CPUExecutionProvider"]
