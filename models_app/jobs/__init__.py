"""Jobs, their attempts, logs, metrics and checkpoints."""
