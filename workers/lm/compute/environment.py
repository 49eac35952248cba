"""A record of what a run ran on, so that two runs can be compared and one repeated."""

import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from workers.lm.compute.packages import package_digests, package_versions


def environment_record() -> dict[str, Any]:
    """Python, packages, system, processor, threads, torch and accelerators of this process."""
    return {
        "python": sys.version.split()[0],
        "implementation": platform.python_implementation(),
        "packages": package_versions(),
        "package_digests": package_digests(),
        "system": {
            "name": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
            "distribution": _distribution(),
            "libc": " ".join(platform.libc_ver()).strip(),
        },
        "processor": _processor(),
        "threads": {
            "torch": torch.get_num_threads(),
            "torch_interop": torch.get_num_interop_threads(),
            "cores_visible": len(os.sched_getaffinity(0)),
            **{
                name: os.environ[name]
                for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
                if name in os.environ
            },
        },
        "torch": {
            "version": torch.__version__,
            "capability": torch.backends.cpu.get_cpu_capability(),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "build": [line.strip() for line in torch.__config__.show().splitlines() if line],
        },
        "accelerators": _accelerators(),
    }


def _distribution() -> str:
    try:
        return str(platform.freedesktop_os_release().get("PRETTY_NAME", ""))
    except OSError:
        return ""


def _processor() -> dict[str, Any]:
    record: dict[str, Any] = {"model": "", "flags": []}
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return record
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name" and not record["model"]:
            record["model"] = value.strip()
        if name.strip() in ("flags", "Features") and not record["flags"]:
            record["flags"] = sorted(value.split())
    return record


def _accelerators() -> list[dict[str, Any]]:
    if not torch.cuda.is_available():
        return []
    driver = Path("/proc/driver/nvidia/version")
    driver_text = driver.read_text().splitlines()[0] if driver.exists() else ""
    return [
        {
            "name": properties.name,
            "memory_bytes": properties.total_memory,
            "capability": f"{properties.major}.{properties.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            "driver": driver_text,
        }
        for properties in map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    ]
