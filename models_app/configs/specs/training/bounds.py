"""Bounds that several settings share."""

MOST_STEPS = 100_000_000
