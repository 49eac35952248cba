"""A clock that can be set wrong for one process; nothing else on the machine sees it."""

import shutil
import struct
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("wrong_clock.c")


def why_not() -> str:
    """Why no clock can be set wrong here; empty if one can."""
    if sys.platform != "linux":
        return "clocks are set wrong by LD_PRELOAD, which only Linux has"
    return "" if shutil.which("cc") else "no C compiler is installed: no clock can be set wrong"


class WrongClock:
    """The wall clock of a process that is started with `environment`; right until it is set.

    The monotonic clock stays as it is, as on a machine whose date somebody changes.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._file.write_bytes(bytes(8))

    def environment(self) -> dict[str, str]:
        """What the process has to be started with; empty where no clock can be set wrong."""
        if why_not():
            return {}
        library = self._file.with_suffix(".so")
        if not library.exists():
            command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE)]
            subprocess.run(command, check=True)
        return {"LD_PRELOAD": str(library), "WRONG_CLOCK": str(self._file)}

    def set(self, ahead_s: int) -> None:
        """So many seconds ahead of the truth, at once; negative is behind."""
        with self._file.open("r+b") as clock:
            clock.write(struct.pack("q", ahead_s))
