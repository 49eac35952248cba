"""Makes the Python environment of this checkout."""


def enter_environment(argv: list[str]) -> None:
    """Go on in the checkout's environment if this Python lacks the packages."""
    del argv
