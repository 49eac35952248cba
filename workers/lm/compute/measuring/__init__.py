"""Measure how fast this machine computes; run as a process of its own, for it imports torch.

    python -m workers.lm.compute.measuring [--cores N] [--compile]

Prints one JSON document, see `speed.py`. Every figure is the best of several tries: what the
machine can do undisturbed. By one thread time is that of the processor, which other work on the
machine hardly moves; by several, and on a GPU, it is that of the wall.
"""
