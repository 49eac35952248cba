"""How many threads a computation may use: the cores granted to it, never those of the machine."""

import contextlib
import os

import torch


def use_threads(granted: int) -> None:
    """Keep torch and the tokenizer library to `granted` threads.

    More threads than granted cores make every parallel section wait for one that has been
    descheduled, which costs far more than the second thread ever gains.
    """
    os.environ["RAYON_NUM_THREADS"] = str(granted)
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if granted > 1 else "false"
    torch.set_num_threads(granted)
    with contextlib.suppress(RuntimeError):  # refused once torch has run something in parallel
        torch.set_num_interop_threads(1)
