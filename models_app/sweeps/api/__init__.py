"""The API of sweeps."""
