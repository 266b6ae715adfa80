"""The machine: device, threads, number types, load, clock rates and memory; and records of it beside results."""

import ctypes
import os
import platform
import re
import subprocess
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from paumer.system.errors import PaumerError
from paumer.system.files import data_checksums, sha256, write_json
from paumer.system.locks import visible_gpus
from paumer.system.plugins import states

# Messages of torch and its libraries when a processor's memory does not suffice; GPUs have an exception for it.
NO_MEMORY = re.compile("can't allocate memory|cannot allocate memory|not enough memory|could not create a memory", re.I)


def lacks_memory(error: BaseException) -> bool:
    """Whether an error is one of missing memory, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and NO_MEMORY.search(str(error)) is not None


def set_threads(threads: int | None) -> int:
    """Let torch use `threads` threads, at most the processors of this process; return the number.

    Processes that `torchrun` started on this machine share them.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = max(1, min(threads or available, available) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    torch.set_num_threads(count)
    return count


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for this process instead of returning it to the operating system.

    Otherwise every large tensor is mapped anew, page by page, a sizeable part of a forward pass on a processor. Does
    nothing with another C library.
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
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


PACKAGES = ("torch", "torchvision", "timm", "numpy", "snakemake", "pandas", "fvcore")
OPTIONAL = ("onnx", "onnxruntime", "onnxruntime-gpu")


def package_versions() -> dict[str, str]:
    """Versions of the packages that results depend on, and the checksums of plug-ins."""
    found = {package: version(package) for package in PACKAGES}
    for package in OPTIONAL:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found | states()


def describe_code() -> dict[str, str]:
    """Version and revision of this code; `-dirty` marks uncommitted changes, `unknown` code outside a checkout."""
    folder = Path(__file__).parents[1]
    try:
        command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        revision = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        revision = "unknown"
    return {"version": version("paumer"), "revision": revision}


def describe_environment(device: torch.device) -> dict[str, str]:
    """Versions, operating system, host, device and threads."""
    return {
        **package_versions(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "host": platform.node(),
        "device": device_name(device),
        "instructions": instruction_sets(),
        **({"driver": driver} if (driver := " ".join(_ask_gpu(device, "driver_version"))) else {}),
        "processors": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
    }


def device_name(device: torch.device) -> str:
    """The name of the GPU, or of the processor with the number of threads in use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor_name()}, {torch.get_num_threads()} threads"


def instruction_sets() -> str:
    """The processor's instructions that decide how fast torch is here, as `AVX512, avx512_bf16, amx_bf16`."""
    return ", ".join([torch.backends.cpu.get_cpu_capability(), *bfloat16_instructions()])


def processor_name() -> str:
    """The processor's name as the operating system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


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
        found = _ask_gpu(device, "clocks.sm,clocks.mem")
        return f"sm {found[0]}, memory {found[1]}" if len(found) == 2 else ""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    rates = [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
    return f"{sum(rates) / len(rates):.0f} MHz" if rates else ""


def _ask_gpu(device: torch.device, fields: str) -> list[str]:
    """What `nvidia-smi` says of a GPU, a text for each field; nothing where it cannot, and of other devices."""
    if device.type != "cuda":
        return []
    name = dict(enumerate(visible_gpus())).get(device.index or 0, "")
    query = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader", f"--id={name}"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip().split(", ")
    except (OSError, subprocess.CalledProcessError):
        return []


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


def record(output: Path, settings: Any, manifest: Path, *inputs: Path) -> None:
    """Write code, environment, settings and inputs of a measured table beside it, as .json.

    Args:
        output: the table.
        settings: of the stage.
        manifest: `data.json` of its data.
        inputs: further files that it read.
    """
    content = {
        "code": describe_code(),
        "environment": describe_environment(find_device(getattr(settings, "device", "cpu"))),
        "settings": settings.model_dump(mode="json"),
        "data": data_checksums(manifest),
        "inputs": {path.name: sha256(path) for path in (manifest, *inputs)},
        "sha256": sha256(output),
    }
    write_json(output.with_suffix(".json"), content)
