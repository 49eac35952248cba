"""How the C library keeps memory between the steps of a training."""

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
#: Tensors up to this size come from the heap, which stays; larger ones are mapped for themselves.
LARGEST_KEPT = 64 * 2**20
#: The heap is given back to the kernel only where so much of its end is free.
KEPT_FREE = 2**30
GROWTH = 16 * 2**20


def keep_memory() -> bool:
    """Let this process keep what it frees, as each step asks for the same again.

    By default glibc gives tensors of some hundred kilobytes back to the kernel and faults their
    pages in anew at each step, a twentieth of a small training's processor time. Nothing happens,
    and False comes back, where the C library has no `mallopt` (see its manual page).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = (
        (_MMAP_THRESHOLD, LARGEST_KEPT),
        (_TRIM_THRESHOLD, KEPT_FREE),
        (_TOP_PAD, GROWTH),
    )
    return all(mallopt(name, value) == 1 for name, value in settings)
