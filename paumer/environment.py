"""Where results come from: code revision, versions, device."""

import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from paumer.runtime import bfloat16_instructions
from paumer.version import __version__

PACKAGES = ("torch", "torchvision", "timm", "numpy", "snakemake", "pandas", "fvcore")
OPTIONAL = ("onnx", "onnxruntime", "onnxruntime-gpu")


def package_versions() -> dict[str, str]:
    """Versions of the packages that results depend on."""
    found = {package: version(package) for package in PACKAGES}
    for package in OPTIONAL:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def describe_code() -> dict[str, str]:
    """Version and revision of this code; `-dirty` marks uncommitted changes, `unknown` code outside a checkout."""
    folder = Path(__file__).parent
    try:
        command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        revision = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        revision = "unknown"
    return {"version": __version__, "revision": revision}


def describe_environment(device: torch.device) -> dict[str, str]:
    """Versions, operating system, host, device and threads."""
    return {
        **package_versions(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "host": platform.node(),
        "device": device_name(device),
        "instructions": instruction_sets(),
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
