"""Classifies how an attempt failed: is it final, may the same node try again, does it repeat?"""

import hashlib
import re
from dataclasses import dataclass

from models_app.jobs.states import RETRYABLE, ReasonCode

#: What its last lines say -> reason code, what to tell, whether another node may do better.
PATTERNS: tuple[tuple[re.Pattern[str], str, str, bool], ...] = (
    (
        re.compile(r"CUDA out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED"),
        ReasonCode.OOM,
        "The GPU ran out of memory. Use a smaller batch, a shorter sequence or a smaller model.",
        False,
    ),
    (
        re.compile(
            r"CUDA error|device-side assert|uncorrectable ECC|fallen off the bus|Xid \d+"
            r"|NCCL (?:error|WARN)|CUDA driver .*insufficient"
        ),
        ReasonCode.DEVICE_LOST,
        "A device of the node failed.",
        True,
    ),
    (
        re.compile(r"No space left on device|Disk quota exceeded"),
        ReasonCode.DISK_FULL,
        "The disk is full.",
        True,
    ),
    (
        re.compile(r"Read-only file system|Input/output error|Stale file handle"),
        ReasonCode.DEVICE_LOST,
        "The node's disk failed.",
        True,
    ),
)
#: Sent from outside: says nothing about the job itself.
OUTSIDE = {"SIGKILL", "SIGTERM", "SIGHUP", "SIGINT"}
#: The node's trouble: it may pass, however often it strikes at the same place.
ELSEWHERE = {
    ReasonCode.NODE_LOST, ReasonCode.LEASE_EXPIRED, ReasonCode.DISK_FULL, ReasonCode.SOURCE_AWAY,
}  # fmt: skip
#: What a kind says of a process of its own that a signal ended.
KILLED_BY = re.compile(r"was killed by (SIG[A-Z]+)")
FRAME = re.compile(r'File "[^"]*?([^/"]+)", line (\d+)')


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What to do about it: `final` ends the job, `leave_node` avoids this node next time."""

    code: str
    message: str
    final: bool
    leave_node: bool = False
    #: Somebody killed it, or a process of it: that says nothing about the job.
    from_outside: bool = False
    #: The same twice in a row without a new checkpoint between: it would never end.
    signature: str = ""


def classify(
    *,
    code: str,
    message: str,
    permanent: bool,
    exit_code: int | None = None,
    exit_signal: str = "",
    tail: str = "",
    long_lived: bool = False,
    from_outside: bool = False,
) -> Failure:
    """From the attempt's own report, its exit and its last lines.

    `from_outside`: its supervisor knows of no reason for the signal that ended it.
    """
    leave = code in (ReasonCode.DISK_FULL, ReasonCode.DEVICE_LOST)
    if code in (ReasonCode.KILLED, ReasonCode.USER_CODE):
        for pattern, found, text, elsewhere in PATTERNS:
            match = pattern.search(tail)
            if match:
                code, message, leave = found, f"{text} ({match[0]})", elsewhere
                permanent = found not in RETRYABLE
                break
    killed = KILLED_BY.search(message) if code == ReasonCode.KILLED else None
    ended_by = exit_signal or (killed[1] if killed else "")
    final = permanent or (code not in RETRYABLE and not long_lived)
    return Failure(
        code=code,
        message=message,
        final=final,
        leave_node=leave,
        from_outside=(from_outside or bool(killed)) and ended_by in OUTSIDE,
        signature=_signature(code, exit_code, ended_by, tail),
    )


def _signature(code: str, exit_code: int | None, exit_signal: str, tail: str) -> str:
    """Where it fails, or empty when something outside ended it."""
    if exit_signal in OUTSIDE or code in ELSEWHERE:
        return ""
    frames = FRAME.findall(tail)
    if not frames and not exit_signal:
        return ""
    place = ":".join(frames[-1]) if frames else ""
    return hashlib.sha256(f"{code}|{exit_code}|{exit_signal}|{place}".encode()).hexdigest()
