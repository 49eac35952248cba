"""Models, their immutable versions, and evaluations."""
