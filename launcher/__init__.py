"""Starts and supervises the processes of a Slipway stack. Standard library only."""
