"""Which addresses below `/v1` the console answers itself, and not the gateway."""

_OURS = ("/v1/files", "/v1/fine_tuning", "/v1/batches")


def is_tuning(path: str) -> bool:
    """Whether files, fine-tuning or batches are asked for."""
    return any(path == ours or path.startswith(f"{ours}/") for ours in _OURS)
