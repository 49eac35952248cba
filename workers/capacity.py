"""What this machine has, as a node reports it. Never imports torch."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "safetensors", "tokenizers", "numpy")


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


def gpus() -> list[dict[str, Any]]:
    """Name and memory of each NVIDIA device, if the driver's tool is there."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = (line.rsplit(",", 1) for line in answer.stdout.splitlines() if "," in line)
    return [{"name": name.strip(), "memory_mib": int(memory)} for name, memory in rows]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
