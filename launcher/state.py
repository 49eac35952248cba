"""The data directory: its lock, its secrets, and where other terminals find a stack."""

import contextlib
import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launcher.errors import AlreadyRunning, LauncherError


class DataDirectory:
    """One folder that holds everything a stack keeps."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.run = self.path / "run"
        self.log = self.path / "log"
        self.stack_file = self.run / "stack.json"
        self._lock: int | None = None

    def acquire(self) -> None:
        """Make the folders and keep everybody else out; raises AlreadyRunning.

        The kernel drops the lock with the process, however it ends: no stale pid file.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for folder in (self.run, self.log):
                folder.mkdir(mode=0o700, exist_ok=True)
            self._lock = os.open(
                self.run / "stack.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise LauncherError(
                f"The data directory {self.path} cannot be used: {error.strerror}. Make it "
                "writable for you, or set SLIPWAY_DATA_DIR to another folder."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pid = os.pread(self._lock, 32, 0).decode(errors="replace").strip()
            raise AlreadyRunning(
                f"A stack already runs on {self.path} (pid {pid or 'unknown'}). Stop it with "
                "Ctrl-C there, or set SLIPWAY_DATA_DIR and SLIPWAY_PORT for a second one."
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        with contextlib.suppress(FileNotFoundError):
            self.stack_file.unlink()  # of a launcher that was killed

    def secret(self, name: str) -> tuple[str, bool]:
        """A random secret kept in `run/secret.json`, and whether it was made just now."""
        path = self.run / "secret.json"
        known = read_json(path)
        made = name not in known
        if made:
            known[name] = secrets.token_urlsafe(36)
            write_private_json(path, known)
        return str(known[name]), made

    def port(self, name: str) -> int | None:
        """The port that server had the last time."""
        value = read_json(self.run / "ports.json").get(name)
        return value if isinstance(value, int) else None

    def remember_port(self, name: str, port: int) -> None:
        """Keep it, so that tools outside find the server again after a restart."""
        path = self.run / "ports.json"
        write_private_json(path, {**read_json(path), name: port})

    def publish(self, stack: Mapping[str, Any]) -> None:
        """Let other terminals of the same user find the running stack."""
        write_private_json(self.stack_file, stack)

    def withdraw(self) -> None:
        """The stack is no longer there."""
        with contextlib.suppress(FileNotFoundError):
            self.stack_file.unlink()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty when there is none. Raises LauncherError on nonsense."""
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise LauncherError(f"{path} cannot be read: {error}") from error
    return value if isinstance(value, dict) else {}


def write_private_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a file as a whole, readable by its owner only; a crash leaves the old one."""
    handle, temporary = tempfile.mkstemp(prefix=path.name, dir=path.parent)  # 0600 by mkstemp
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(dict(value), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
