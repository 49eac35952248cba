"""The API of configurations: revisions, overlays, comparisons, checks and schemas."""
