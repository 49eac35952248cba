"""What children say: prefixed on the terminal, dated in one bounded file per process."""

import contextlib
import os
import re
import sys
import time
from pathlib import Path
from typing import TextIO

_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93)
_MAX_FILE_BYTES = 10 * 1024 * 1024
#: Valkey's advice about a kernel setting: harmless here, and nothing a reader could act on.
_NOISE = ("overcommit_memory",)

#: What the two servers say on every start and stop: kept in their files, not on the terminal.
_ROUTINE = re.compile(
    r"^LOG: |database system is (starting up|shutting down)|:signal-handler |bye bye"
)


class Journal:
    """Writes lines of named sources to the terminal and to `<folder>/<name>.log`."""

    def __init__(self, folder: Path, *, quiet: bool = False) -> None:
        self._folder = folder
        self._quiet = quiet
        self._files: dict[str, TextIO] = {}
        self._colours: dict[str, int] = {}
        self._coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def say(self, name: str, text: str, *, keep: bool = True) -> None:
        """Report one line; `keep=False` leaves no trace of it in a file."""
        if not text.strip() or any(noise in text for noise in _NOISE):
            return
        if not self._quiet and not _ROUTINE.search(text):
            with contextlib.suppress(OSError, ValueError):  # the terminal may be gone
                print(self._prefix(name) + text, flush=True)
        if keep:
            with contextlib.suppress(OSError):  # a full disk must not stop the supervisor
                self._file(name).write(time.strftime("%Y-%m-%d %H:%M:%S ") + text + "\n")

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            with contextlib.suppress(OSError):
                file.close()
        self._files.clear()

    def _prefix(self, name: str) -> str:
        plain = f"{name:<9}| "
        if not self._coloured:
            return plain
        colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
        return f"\x1b[{colour}m{plain}\x1b[0m"

    def _file(self, name: str) -> TextIO:
        file = self._files.get(name)
        if file and file.tell() > _MAX_FILE_BYTES:
            file.close()
            path = self._folder / f"{name}.log"
            path.replace(path.with_suffix(".log.1"))
            file = None
        if file is None:
            path = self._folder / f"{name}.log"
            file = path.open("a", buffering=1, encoding="utf-8", errors="replace")
            self._files[name] = file
        return file
