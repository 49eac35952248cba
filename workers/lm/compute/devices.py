"""The device that a computation runs on."""

import torch

from workers.lm.compute.memory import peak_bytes, resident_bytes


def best_device() -> torch.device:
    """An accelerator if this process may see one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def memory_in_use(device: torch.device) -> int:
    """Bytes that this process holds: on the accelerator its peak, else resident memory."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resident_bytes()


def peak_memory(device: torch.device) -> int:
    """The most that this process has held: of the accelerator, else resident."""
    return memory_in_use(device) if device.type == "cuda" else peak_bytes()
