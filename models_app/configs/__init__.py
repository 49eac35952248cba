"""Training configurations: named, in immutable revisions."""
