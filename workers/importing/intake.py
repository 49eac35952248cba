"""Takes files in, one by one, under names of our own; survives being killed at any byte.

Everything lies in the job's work folder, which later attempts on the node find again:
`parts/<n>` is what has come of a file so far, `whole/<n>` is complete, and `whole.jsonl` says which
is which. Nothing there bears a name that came from outside.
"""

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Container, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from workers.scanning.content import refuse
from workers.scanning.limits import Limits
from workers.scanning.names import Gate, is_program, sort_of
from workers.scanning.report import Report

CHUNK = 1 << 20
#: Bytes of a refused file that are looked at, to say what it is.
LOOK = 8 << 20


class Stopped(Exception):
    """A polite stop was asked for; what has come is kept."""


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A file that is complete. `stamp` tells whether the source's file is still the same one."""

    name: str
    stamp: str
    place: str
    sha256: str
    size: int
    etag: str = ""

    def entry(self) -> dict[str, Any]:
        """As the version's source keeps it."""
        found = {"sha256": self.sha256, "size": self.size}
        return {**found, "etag": self.etag} if self.etag else found


class Intake:
    """The files of one import."""

    def __init__(
        self,
        folder: Path,
        gate: Gate,
        *,
        stopping: Callable[[], bool] = lambda: False,
        progress: Callable[[int, int | None], None] = lambda done, total: None,
    ) -> None:
        self.folder, self.gate, self.stopping, self._progress = folder, gate, stopping, progress
        self.files: dict[str, Whole] = {}
        #: Bytes that came from the source in this attempt, and in all.
        self.received = self.done = 0
        #: Bytes that there will be, where the source tells.
        self.total: int | None = None
        self._lock = threading.Lock()
        for name in ("parts", "whole", "suspects"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._earlier = {(whole.name, whole.stamp): whole for whole in self._known()}

    @property
    def report(self) -> Report:
        return self.gate.report

    @property
    def limits(self) -> Limits:
        return self.gate.limits

    def _known(self) -> Iterator[Whole]:
        try:
            lines = (self.folder / "whole.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                whole = Whole(**json.loads(line))
            except (ValueError, TypeError):
                continue  # the last line of an attempt that was killed
            path = self.folder / "whole" / whole.place
            if path.is_file() and path.stat().st_size == whole.size:
                yield whole

    def wants(self, name: str, kind: str = "file") -> bool:
        """Whether the gate lets this name in at all; what it refuses is in the report."""
        return self.gate.admit(name, kind)

    def is_taken(self, name: str) -> bool:
        """Whether files of this name are kept; others are only looked at to say what they are."""
        return sort_of(name) is not None

    @property
    def begun(self) -> Container[tuple[str, str]]:
        """Name and stamp of every file that an earlier attempt has taken."""
        return self._earlier

    def earlier(self, name: str, stamp: str) -> bool:
        """Whether an earlier attempt has taken this very file; then it counts as taken now."""
        whole = self._earlier.get((name, stamp))
        if whole is None:
            return False
        self._count(whole.size, received=False)
        with self._lock:
            self.files[name] = whole
        return True

    def take(self, name: str, stamp: str, stream: BinaryIO) -> None:
        """Copy a file that can be read at once."""
        if not self.is_taken(name):
            self.inspect(name, stream)
            return
        if self.earlier(name, stamp):
            return
        part = self.part(name, stamp)
        digest, size = hashlib.sha256(), 0
        with part.open("wb") as file:
            while chunk := stream.read(CHUNK):
                self.room(len(chunk))
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
                self._count(len(chunk))
        self.finish(name, stamp, part, digest.hexdigest(), size)

    def inspect(self, name: str, stream: BinaryIO) -> None:
        """Say what a file that is not taken is, by its first bytes; they are dropped again."""
        place = self.folder / "suspects" / place_of(name, "")
        try:
            with place.open("wb") as file:
                file.write(_at_most(stream, LOOK))
            refuse(self.report, name, place, listed="program" if is_program(name) else "")
        finally:
            place.unlink(missing_ok=True)

    def part(self, name: str, stamp: str) -> Path:
        """Where the bytes of a file gather until it is complete."""
        return self.folder / "parts" / place_of(name, stamp)

    def room(self, more: int) -> None:
        """Called before bytes are written. Raises Stopped, or TooLarge beyond the limit."""
        if self.stopping():
            raise Stopped
        if self.done + more > self.limits.total_bytes:
            raise TooLarge

    def count(self, more: int) -> None:
        """So many bytes came from the source."""
        self._count(more)

    def count_kept(self, more: int) -> None:
        """So many bytes are there from an earlier attempt; fewer than none: they are dropped."""
        self._count(more, received=False)

    def _count(self, more: int, *, received: bool = True) -> None:
        with self._lock:
            self.done += more
            if received:
                self.received += more
            done = self.done
        self._progress(done, self.total)

    def finish(
        self, name: str, stamp: str, part: Path, sha256: str, size: int, etag: str = ""
    ) -> None:
        """The part is the whole file now, durably."""
        place = place_of(name, stamp)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(self.folder / "whole" / place)
        self._keep(Whole(name=name, stamp=stamp, place=place, sha256=sha256, size=size, etag=etag))

    def adopt(self, name: str, stamp: str, source: Path, entry: dict[str, Any], etag: str) -> None:
        """A file that is stored already: it is taken from there, and nothing is transferred."""
        place = place_of(name, stamp)
        target = self.folder / "whole" / place
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
        self._count(entry["size"], received=False)
        self._keep(Whole(name=name, stamp=stamp, place=place, etag=etag, **entry))

    def _keep(self, whole: Whole) -> None:
        with self._lock, (self.folder / "whole.jsonl").open("a") as file:
            file.write(json.dumps(asdict(whole)) + "\n")
            file.flush()
            os.fsync(file.fileno())
            self.files[whole.name] = whole

    def lay_out(self, target: Path, strip: str = "") -> dict[str, dict[str, Any]]:
        """The files below the folder `strip` under their names, as links, in an empty folder.

        Returns what each of them is.
        """
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        laid = {}
        for name, whole in self.files.items():
            if not name.startswith(strip):
                continue
            laid[name.removeprefix(strip)] = whole.entry()
            path = target / name.removeprefix(strip)
            path.parent.mkdir(parents=True, exist_ok=True)
            source = self.folder / "whole" / whole.place
            try:
                os.link(source, path)
            except OSError:
                shutil.copyfile(source, path)
        return laid

    def common_folder(self) -> str:
        """The one folder that all files lie in, with its slash; empty if some lie at the top."""
        tops = {name.partition("/")[0] if "/" in name else "" for name in self.files}
        return f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""


class TooLarge(Exception):
    """More bytes than one import may have."""


def place_of(name: str, stamp: str) -> str:
    """A file name of our own for a file of theirs."""
    return hashlib.sha256(f"{name}\0{stamp}".encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _at_most(stream: BinaryIO | IO[bytes], most: int) -> bytes:
    data = b""
    while len(data) < most and (chunk := stream.read(min(CHUNK, most - len(data)))):
        data += chunk
    return data
