"""What else the machine does while it measures, and how fast it runs."""

import ctypes
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import torch

from paumer.gpus import visible_gpus

IDLE = ("idle", "iowait")
FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


class OtherLoad:
    """How many processors were busy with something else, from the making of this object on."""

    def __init__(self) -> None:
        self._start, self._busy, self._own = time.perf_counter(), _busy_seconds(), _own_seconds()

    def processors(self) -> float:
        """Their mean number; NaN where the operating system does not tell."""
        elapsed = time.perf_counter() - self._start
        others = (_busy_seconds() - self._busy) - (_own_seconds() - self._own)
        return max(others, 0.0) / max(elapsed, 1e-9)  # in this order, which keeps NaN


def clocks(device: torch.device) -> str:
    """Clock rates as far as they can be read, `sm 1980 MHz, memory 2619 MHz`; empty where they cannot."""
    if device.type == "cuda":
        name = dict(enumerate(visible_gpus())).get(device.index or 0, "")
        query = ["nvidia-smi", "--query-gpu=clocks.sm,clocks.mem", "--format=csv,noheader", f"--id={name}"]
        try:
            core, memory = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip().split(", ")
        except (OSError, subprocess.CalledProcessError, ValueError):
            return ""
        return f"sm {core}, memory {memory}"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    rates = [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
    return f"{sum(rates) / len(rates):.0f} MHz" if rates else ""


class PeakMemory:
    """Growth of the memory in use from the making of this object to its peak."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            self._before = _reset_resident_peak()

    def megabytes(self) -> float:
        """On a GPU the most that was allocated, in MB (2**20 bytes); elsewhere by how much the memory of this process
        grew. NaN where the operating system does not tell."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        return _resident("VmHWM") - self._before


def _reset_resident_peak() -> float:
    """Forget the peak of this process's memory; give what is in use, in MB."""
    with suppress(OSError, AttributeError, TypeError):  # Windows has no such library, others no such function
        ctypes.CDLL(None).malloc_trim(0)  # what was freed counts as in use until the C library gives it back
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return float("nan")
    return _resident("VmRSS")


def _resident(name: str) -> float:
    """A figure on this process's memory, in MB."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return float("nan")
    return next((int(line.split()[1]) / 2**10 for line in lines if line.startswith(name)), float("nan"))


def _busy_seconds() -> float:
    """Processor seconds that the machine has spent on anything; NaN where the operating system does not tell."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
        rate = os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        return float("nan")
    ticks = dict(zip(FIELDS, map(int, first.split()[1:]), strict=False))
    return sum(count for name, count in ticks.items() if name not in IDLE) / rate


def _own_seconds() -> float:
    """Processor seconds of this process."""
    return time.process_time()
