"""Number formats: what the matrix products are computed in."""

from contextlib import AbstractContextManager, nullcontext

import torch


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Run the forward pass in `precision`; weights and optimiser state stay in fp32."""
    if precision == "bf16":
        return torch.autocast(device_type=device.type, dtype=torch.bfloat16)
    return nullcontext()


def bf16_pays(device: torch.device) -> bool:
    """Whether bf16 is likely to be faster here than fp32.

    Without matrix units for it a processor converts back and forth and takes more than twice
    as long as in fp32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    try:
        return bool(torch.cpu._is_amx_tile_supported())
    except AttributeError:
        return False
