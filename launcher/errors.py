"""What can go wrong while a stack is started, each with the exit status it leads to."""


class LauncherError(Exception):
    """The stack cannot start; the message says what to do."""

    exit_status = 1


class AlreadyRunning(LauncherError):
    """Another launcher holds this data directory."""

    exit_status = 3


class PortTaken(LauncherError):
    """Somebody else listens on a port that was asked for by number."""

    exit_status = 4


class BadOption(LauncherError):
    """A variable or a switch holds nonsense."""

    exit_status = 2


class StopRequested(Exception):
    """Somebody asked the launcher to stop while it waited for something: no error."""
