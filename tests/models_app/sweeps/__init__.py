"""Tests of sweeps: what a space says, who is stopped, how the driver survives."""
