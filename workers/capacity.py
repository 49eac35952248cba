"""What this machine has, as a node reports it. Never imports torch."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = (
    "torch", "transformers", "safetensors", "tokenizers", "numpy", "peft", "gguf", "onnx",
    "onnxruntime", "onnxscript", "openvino", "vllm",
)  # fmt: skip


def capacity() -> dict[str, Any]:
    """cpus, memory_mib, disk_free_mib, gpus (name and memory), system and package versions."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mib": memory_mib(),
        "disk_free_mib": shutil.disk_usage(Path.cwd()).free >> 20,
        "gpus": gpus(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def health() -> dict[str, Any]:
    """How it is now: load, free memory, free and whole disk, and how each GPU is."""
    disk = shutil.disk_usage(Path.cwd())
    return {
        "load": round(os.getloadavg()[0], 2),
        "memory_free_mib": psutil.virtual_memory().available >> 20,
        "disk_free_mib": disk.free >> 20,
        "disk_total_mib": disk.total >> 20,
        "gpus": _gpu_health(),
    }


def memory_mib() -> int:
    """Memory of the machine, or the limit of our control group if that is lower, in MiB."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (Path("/sys/fs/cgroup") / name).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total >> 20


def processor_name() -> str:
    """The processor's model, as the kernel calls it; elsewhere the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def gpus() -> list[dict[str, Any]]:
    """Name, memory and limit of power (watts, where told) of each NVIDIA device, if any."""
    return [
        {"name": name, "memory_mib": int(memory), **_watts(limit)}
        for name, memory, limit in _ask_driver("name,memory.total,power.limit")
    ]


def _watts(text: str) -> dict[str, float]:
    return {"watts": float(text)} if text.replace(".", "", 1).isdigit() else {}


GPU_HEALTH = {
    "memory.used": "memory_used_mib",
    "utilization.gpu": "utilization_percent",
    "temperature.gpu": "temperature_c",
    "ecc.errors.uncorrected.volatile.total": "uncorrected_errors",
}


def _gpu_health() -> list[dict[str, float]]:
    """Figures that the driver knows; those it does not know are left out."""
    return [
        {
            name: float(value)
            for name, value in zip(GPU_HEALTH.values(), row, strict=True)
            if value.replace(".", "", 1).isdigit()
        }
        for row in _ask_driver(",".join(GPU_HEALTH))
    ]


def _ask_driver(fields: str) -> list[list[str]]:
    """One row for each NVIDIA device; none where there is no driver or it does not answer."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[part.strip() for part in line.split(",")] for line in answer.stdout.splitlines()]
    return [row for row in rows if len(row) == fields.count(",") + 1]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
