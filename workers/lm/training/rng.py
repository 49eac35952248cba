"""The states of all random number generators, as arrays and plain numbers."""

import random
from typing import Any

import numpy as np
import torch

Tensors = dict[str, torch.Tensor]
_BETWEEN_RANKS = 1_000_003


def seed_everything(seed: int) -> None:
    """Start every generator from one seed."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def seed_rank(seed: int, rank: int) -> None:
    """The start of one of several processes that look at different data; 0 is one alone."""
    seed_everything(seed + 1 if rank == 0 else (seed + 1 + rank * _BETWEEN_RANKS) % 2**63)


def rng_file(rank: int) -> str:
    """Where a checkpoint keeps the arrays of a process."""
    return "rng.safetensors" if rank == 0 else f"rng-{rank}.safetensors"


def capture_rng() -> tuple[Tensors, dict[str, Any]]:
    """The generators' states: arrays for a tensor file, the rest for JSON."""
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    tensors = {
        "torch": torch.get_rng_state(),
        "python": torch.tensor(numbers, dtype=torch.int64),
        "numpy": torch.from_numpy(np.asarray(keys, dtype=np.int64)),
    }
    if torch.cuda.is_available():
        for number, state in enumerate(torch.cuda.get_rng_state_all()):
            tensors[f"cuda.{number}"] = state
    rest = {
        "python": {"version": version, "gauss": gauss},
        "numpy": {
            "name": str(name),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached": float(cached),
        },
    }
    return tensors, rest


def restore_rng(tensors: Tensors, rest: dict[str, Any]) -> None:
    """Put every generator back to where `capture_rng` found it."""
    torch.set_rng_state(tensors["torch"])
    python, numpy_state = rest["python"], rest["numpy"]
    random.setstate((python["version"], tuple(tensors["python"].tolist()), python["gauss"]))
    np.random.set_state(
        (
            numpy_state["name"],
            tensors["numpy"].numpy().astype(np.uint32),
            numpy_state["position"],
            numpy_state["has_gauss"],
            numpy_state["cached"],
        )
    )
    if torch.cuda.is_available():
        states = [tensors[key] for key in sorted(tensors) if key.startswith("cuda.")]
        if len(states) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(states)
