"""Faults injected into a running installation by a seed, and what must hold all the same."""
