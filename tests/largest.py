"""How large tensors get while something runs."""

from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Largest(TorchDispatchMode):
    """The most elements of any tensor that is made, or of those that are counted."""

    def __init__(self, counted: Callable[[torch.Tensor], bool] = lambda tensor: True) -> None:
        super().__init__()
        self.counted, self.most = counted, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple) else (made,):
            if isinstance(tensor, torch.Tensor) and self.counted(tensor):
                self.most = max(self.most, tensor.numel())
        return made
