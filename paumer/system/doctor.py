"""`paumer doctor`: does this machine have what the pipeline needs?"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from paumer.system.errors import PaumerError

LEAST_FREE_GIB = 2


def examine() -> None:
    """Print one line per check.

    Raises:
        PaumerError: a check failed.
    """
    failed = []
    for name, check in CHECKS.items():
        try:
            print(f"ok    {name}: {check()}")
        except Exception as error:  # whatever goes wrong in a check is its finding
            print(f"FAIL  {name}: {error}")
            failed.append(name)
    if failed:
        raise PaumerError(f"{', '.join(failed)}: see the lines marked FAIL above")


def _python() -> str:
    return sys.version.split()[0]


def _packages() -> str:
    from paumer.system.machine import package_versions

    return ", ".join(f"{name} {version}" for name, version in package_versions().items())


def _torch_and_torchvision() -> str:
    """torchvision's compiled operators load only beside the torch they were built for."""
    import torch
    from torchvision.ops import nms

    nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    return "fit together"


def _device() -> str:
    from paumer.system.machine import device_name, fast_at_bfloat16, find_device

    device = find_device("auto")
    return f"{device_name(device)}, {'fast' if fast_at_bfloat16(device) else 'slow'} at bfloat16"


def _threads() -> str:
    import os

    from paumer.system.machine import set_threads

    return f"{set_threads(None)} of {os.cpu_count()} processors may be used"


def _disk() -> str:
    free = shutil.disk_usage(Path()).free / 2**30
    if free < LEAST_FREE_GIB:
        raise PaumerError(f"{free:.1f} GiB free here; make room for at least {LEAST_FREE_GIB} GiB")
    return f"{free:.0f} GiB free here"


CHECKS: dict[str, Callable[[], str]] = {
    "python": _python,
    "packages": _packages,
    "torch and torchvision": _torch_and_torchvision,
    "device": _device,
    "threads": _threads,
    "disk": _disk,
}
