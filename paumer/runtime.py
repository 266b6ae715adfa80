"""The device, its threads and its number types."""

import ctypes
import os

import torch

from paumer.errors import PaumerError


def set_threads(threads: int | None) -> int:
    """Let torch use `threads` threads, never more than the processors this process may use; give that number.

    Processes that `torchrun` started on this machine share them.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = max(1, min(threads or available, available) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    torch.set_num_threads(count)
    return count


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for this process instead of giving it back to the operating system.

    Otherwise every large tensor is mapped anew, page by page, which takes a sizeable part of a forward pass on a
    processor. Does nothing where the C library is another one than glibc.
    """
    trim_threshold, mmap_threshold = -1, -3  # of mallopt(3)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(mmap_threshold, 2**30)
    mallopt(trim_threshold, 2**31 - 1)


def find_device(name: str) -> torch.device:
    """The device of that name; `auto` is CUDA where there is one.

    Raises:
        PaumerError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise PaumerError(f"device: no {name!r} here; use auto, cpu or a CUDA device that exists") from None
    return device


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Autocast to `precision`; `auto` is bfloat16 where the device is fast at it, float32 elsewhere."""
    if precision == "auto":
        precision = "bfloat16" if fast_at_bfloat16(device) else "float32"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def fast_at_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16; without them a processor is slower at it than at float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(bfloat16_instructions())


def bfloat16_instructions() -> list[str]:
    """The processor's instructions for bfloat16, as torch calls them; none where torch may not use AVX-512."""
    if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2"):  # ATEN_CPU_CAPABILITY limits it, too
        return []
    there = torch.cpu.get_capabilities()
    return [name for name in ("avx512_bf16", "amx_bf16") if there.get(name)]


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
