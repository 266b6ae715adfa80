"""From a traced graph to ONNX."""

import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch.export import ExportedProgram

from paumer.errors import PaumerError, summary
from paumer.graphs.tracing import INPUT, weight_bytes

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 20
OUTPUT = "output"
LARGEST = 2**31  # bytes of one protocol buffer


def require_onnx() -> None:
    """Check that what writes and runs ONNX is installed.

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
        notes: what to say of it in its `metadata_props`.

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
    """Call the batch size `batch`, and remove what the exporter notes of the code."""
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
