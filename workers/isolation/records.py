"""Signed records of what this node has started, so that a later start can tell its own orphans.

`<data>/run/cages/<node>/7.2.json` is attempt 2 of job 7. The key beside it is readable by us alone;
what it signs also stands in the environment of every process of the attempt, as SLIPWAY_ATTEMPT.
"""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path

from django.conf import settings

VARIABLE = "SLIPWAY_ATTEMPT"
_making = threading.Lock()
#: Attempts that this process supervises now; the orphans' hunter passes them by.
LIVE: set[tuple[int, int]] = set()


class BadRecord(Exception):
    """Not written by this node, or changed since."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One attempt as it was started."""

    node: str
    job: int
    epoch: int
    pid: int
    #: Start time of that process in ticks since the boot: with it a reused number is never taken
    #: for ours; with boot and namespace, neither is a process of another machine or container.
    started: int
    boot: str
    namespace: str
    scratch: str
    cgroups: list[str] = field(default_factory=list)


def root() -> Path:
    return Path(settings.DATA_DIR) / "run" / "cages"


def folder(node: str) -> Path:
    return root() / node


def key(node: str) -> bytes:
    """The node's key, made at its first use. One that others can read is replaced."""
    path = root() / f"{node}.key"
    with _making:
        with contextlib.suppress(FileNotFoundError):
            if not path.stat().st_mode & 0o077 and len(found := path.read_bytes()) == 32:
                return found
            path.unlink()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = secrets.token_bytes(32)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(made)
        return made


def sign(node: str, what: str, text: str) -> str:
    """Authenticates a text of this node; `what` keeps kinds of texts apart."""
    return hmac.new(key(node), f"{what}\0{node}\0{text}".encode(), hashlib.sha256).hexdigest()


def marker(node: str, job: int, epoch: int) -> str:
    """The value of SLIPWAY_ATTEMPT for the processes of an attempt."""
    name = f"{job}.{epoch}"
    return f"{name}:{sign(node, 'attempt', name)[:32]}"


def marked(node: str, value: str) -> tuple[int, int] | None:
    """Job and epoch of a marker that this node has signed, or None."""
    name, _, signature = value.partition(":")
    job, _, epoch = name.partition(".")
    if not (job.isdecimal() and epoch.isdecimal()):
        return None
    expected = sign(node, "attempt", name)[:32]
    return (int(job), int(epoch)) if hmac.compare_digest(expected, signature) else None


def path_of(node: str, job: int, epoch: int) -> Path:
    return folder(node) / f"{job}.{epoch}.json"


def write(record: Record) -> None:
    """Keep it, whole or not at all, closed to others."""
    text = json.dumps(asdict(record), sort_keys=True)
    path = path_of(record.node, record.job, record.epoch)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_suffix(".tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as stream:
        json.dump({"record": text, "signature": sign(record.node, "record", text)}, stream)
    temporary.replace(path)


def read(path: Path, node: str) -> Record:
    """A record of this node, or BadRecord. A file that is named after another attempt is bad."""
    try:
        kept = json.loads(path.read_text())
        text, signature = str(kept["record"]), str(kept["signature"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadRecord(f"{path} is no record") from error
    if not hmac.compare_digest(sign(node, "record", text), signature):
        raise BadRecord(f"{path} does not carry this node's signature")
    try:
        record = Record(**json.loads(text))
    except TypeError as error:
        raise BadRecord(f"{path} was written by another version") from error
    if record.node != node or path != path_of(node, record.job, record.epoch):
        raise BadRecord(f"{path} belongs elsewhere")
    return record


def forget(node: str, job: int, epoch: int) -> None:
    """Nothing of the attempt is left."""
    path_of(node, job, epoch).unlink(missing_ok=True)
