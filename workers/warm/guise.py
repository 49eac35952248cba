"""What a forked process shows of itself in /proc: its own command line and environment.

The kernel shows the memory in which a process was *started*, so a fork shows its template's. Here
that memory is written over: the template is started with room to spare in both places.
"""

import ctypes
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

#: Bytes to spare for the command line and for the environment of a job's process.
ARGUMENTS, VARIABLES = 4096, 8192
#: Holds the room among the variables of a template; no job is given it.
SPARE = "SLIPWAY_SPARE"


def spare_argument() -> str:
    """The last word of a template's command line."""
    return "-" * ARGUMENTS


def with_spare(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment to start a template with."""
    return {**environment, SPARE: "-" * VARIABLES}


def put_on(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Be seen with these from now on, and have no other variables.

    OSError: they do not fit into the room.
    """
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    # arg_start, arg_end, env_start, env_end: see proc(5); the first two fields are cut off.
    argument, after_arguments, variable, after_variables = (int(word) for word in fields[45:49])
    shown = [
        (argument, after_arguments, _block(arguments)),
        (variable, after_variables, _block(f"{key}={value}" for key, value in environment.items())),
    ]
    if any(len(block) > end - start for start, end, block in shown):
        raise OSError("its command line or its environment is too long for a template")
    # libc then holds copies: nothing points any more into the memory that is written over.
    os.environ.clear()
    os.environ.update(environment)
    for start, end, block in shown:
        ctypes.memmove(start, block.ljust(end - start, b"\0"), end - start)


def _block(words: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(word) + b"\0" for word in words)
