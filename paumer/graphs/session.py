"""ONNX models run by onnxruntime, on the tensors of torch."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from paumer.errors import PaumerError, summary
from paumer.graphs.onnx_model import require_onnx
from paumer.graphs.tracing import INPUT
from paumer.runtime import synchronize

CUDA = "CUDAExecutionProvider"
TYPES = {"tensor(float)": torch.float32, "tensor(int64)": torch.int64}


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
        self.device = device
        source = str(model) if isinstance(model, Path) else model
        try:
            self._session = onnxruntime.InferenceSession(source, options, providers=providers(device))
        except PaumerError:
            raise
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise PaumerError(f"onnxruntime: cannot run the model ({summary(error)}); export it again") from None
        [output] = self._session.get_outputs()
        self._name, self._shape, self._type = output.name, output.shape[1:], TYPES[output.type]

    @property
    def notes(self) -> dict[str, str]:
        """What the model says of itself."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def __call__(self, images: Tensor) -> Tensor:
        """From images (batch, 3, height, width) float32 on the device to the model's output there.

        Raises:
            OutOfMemoryError: torch's, where memory does not suffice.
        """
        images = images.contiguous()
        output = torch.empty(images.shape[0], *self._shape, dtype=self._type, device=self.device)
        binding = self._session.io_binding()
        place = (self.device.type, self.device.index or 0)
        binding.bind_input(INPUT, *place, _numpy(images), tuple(images.shape), images.data_ptr())
        binding.bind_output(self._name, *place, _numpy(output), tuple(output.shape), output.data_ptr())
        synchronize(self.device)  # onnxruntime has a stream of its own
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:
            if "allocat" in str(error):
                raise torch.OutOfMemoryError(str(error)) from None
            raise
        return output


def providers(device: torch.device) -> list[Any]:
    """What runs the model on a device; on a GPU in the precision in which torch multiplies there.

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


def _numpy(tensor: Tensor) -> Any:
    """The number type as onnxruntime names it."""
    import numpy as np

    return {torch.float32: np.float32, torch.int64: np.int64}[tensor.dtype]
