"""Which adapters a running engine has, under which names: loaded and unloaded between steps.

Files are read on the thread that asks; layers are changed on the engine's, a few before each step,
so that streams go on. One that is removed is asked for no more, and leaves the memory when the last
answer that is computed with it has ended.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import ModelRefused, ServingError
from .lora import AdapterBank, AdapterRefused

#: Between two looks at the file that says what is wanted, in seconds.
LOOK_S = 0.2
#: What `Wanted.read` raises for a file that says something else.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)


class AdapterNotLoaded(ServingError):
    """Nobody is served here under that name; another server may know it."""

    def __init__(self, name: str) -> None:
        super().__init__(
            404,
            f"This model server has no adapter {name[:80]!r} loaded.",
            code="adapter_not_loaded",
            param="model",
        )


@dataclass(frozen=True)
class WantedAdapter:
    """A version by its number and where its files lie; `problem` says why they do not."""

    version: int
    folder: Path
    problem: str = ""


@dataclass(frozen=True)
class Wanted:
    """What a server shall serve: read from one JSON file that is replaced as a whole."""

    fingerprint: str
    adapters: Mapping[str, WantedAdapter]

    @classmethod
    def read(cls, path: Path) -> Wanted:
        """Raises one of UNREADABLE."""
        said = json.loads(path.read_text("utf-8"))
        rows = {
            name: WantedAdapter(int(row["version"]), Path(row["folder"]), str(row["problem"]))
            for name, row in said["adapters"].items()
        }
        return cls(str(said["fingerprint"]), rows)


@dataclass(slots=True)
class _Chore:
    """Work on the layers in small pieces, and what is to be done when it has come to its end."""

    key: str
    pieces: Iterator[None]
    done: Callable[[], None]
    failed: Callable[[Exception], None]


@dataclass(slots=True)
class _State:
    names: dict[str, str] = field(default_factory=dict)
    failed: dict[str, tuple[int, str]] = field(default_factory=dict)


class Adapters:
    """`take`, `leave` and `apply` from any thread; `between_steps`, `begin`, `end` on the engine's.

    An adapter's key is `name@version`: one that takes the place of another under the same name is
    another one, to the layers and to the cache of prefixes.
    """

    def __init__(self, bank: AdapterBank | None, wake: Callable[[], None]) -> None:
        self._bank = bank
        self._wake = wake
        self._lock = threading.RLock()
        self._state = _State()
        self._wanted: dict[str, WantedAdapter] = {}
        self._versions: dict[str, int] = {}
        self._users: Counter[str] = Counter()
        self._retiring: set[str] = set()
        self._chores: deque[_Chore] = deque()
        #: Looks at the rest of an adapter's files; raises AdapterRefused.
        self.fits: Callable[[str, Path], None] = lambda name, folder: None
        self.on_change: Callable[[dict[str, Any]], None] = lambda state: None

    # ---- from any thread -------------------------------------------------------------------

    def take(self, name: str, count: int = 1) -> str:
        """The key for `count` new answers; "" for the base. Raises AdapterNotLoaded."""
        if not name:
            return ""
        with self._lock:
            key = self._state.names.get(name)
            if key is None:
                raise AdapterNotLoaded(name)
            self._users[key] += count
            return key

    def leave(self, key: str, count: int = 1) -> None:
        """So many answers with this adapter have ended."""
        if key:
            with self._lock:
                self._users[key] -= count

    @property
    def names(self) -> list[str]:
        """What can be asked for."""
        with self._lock:
            return sorted(self._state.names)

    @property
    def bytes(self) -> int:
        """Memory of the factors of all adapters."""
        return self._bank.bytes if self._bank else 0

    @property
    def busy(self) -> bool:
        """Whether `between_steps` has something to do."""
        with self._lock:
            return bool(self._chores) or any(not self._users[key] for key in self._retiring)

    def state(self) -> dict[str, Any]:
        """{loaded: {name: version}, failed: {name: [version, why]}}"""
        with self._lock:
            loaded = {name: self._versions[key] for name, key in self._state.names.items()}
            return {
                "loaded": loaded,
                "failed": {name: list(row) for name, row in self._state.failed.items()},
            }

    def apply(self, wanted: Mapping[str, WantedAdapter]) -> None:
        """Begin to make it so; `on_change` is told after each step on the way."""
        before = self.state()
        with self._lock:
            self._wanted = dict(wanted)
            for name in set(self._state.names) - set(wanted):
                self._retire(self._state.names.pop(name))
            self._state.failed = {
                name: row
                for name, row in self._state.failed.items()
                if name in wanted and wanted[name].version == row[0]
            }
        for name, row in sorted(wanted.items()):
            self._want(name, row)
        self._wake()
        if self.state() != before:
            self.on_change(self.state())

    def _want(self, name: str, row: WantedAdapter) -> None:
        key = f"{name}@{row.version}"
        with self._lock:
            known = self._state.names.get(name) == key or name in self._state.failed
            if known or any(chore.key == key for chore in self._chores):
                return
            if key in self._retiring:
                self._retiring.discard(key)
                self._name(name, key)
                return
        if row.problem or self._bank is None:
            why = row.problem or "This model is not served with packed batching."
            self._fail(name, row.version, why)
            return
        try:
            adapter = self._bank.read(row.folder)
            self.fits(name, row.folder)
        except AdapterRefused as error:
            self._fail(name, row.version, str(error))
            return
        with self._lock:
            self._versions[key] = row.version
            self._chores.append(
                _Chore(
                    key,
                    self._bank.put(key, adapter),
                    lambda: self._loaded(name, key),
                    lambda error: self._not_loaded(name, key, error),
                )
            )

    def _fail(self, name: str, version: int, why: str) -> None:
        with self._lock:
            self._state.failed[name] = (version, why[:500])

    def _retire(self, key: str) -> None:
        self._retiring.add(key)

    def _name(self, name: str, key: str) -> None:
        before = self._state.names.get(name)
        self._state.names[name] = key
        if before is not None and before != key:
            self._retire(before)

    # ---- the engine's thread ---------------------------------------------------------------

    def between_steps(self, *, idle: bool = False) -> None:
        """A little of what is to be done; all of it where nobody waits for a step."""
        while self.busy:
            self._piece()
            if not idle:
                return

    def _piece(self) -> None:
        with self._lock:
            if not self._chores:
                self._begin_to_drop()
            chore = self._chores[0] if self._chores else None
        if chore is None:
            return
        try:
            next(chore.pieces)
            return
        except StopIteration:
            ended: Exception | None = None
        except Exception as error:
            ended = error
        with self._lock:
            self._chores.popleft()
            chore.done() if ended is None else chore.failed(ended)
        self.on_change(self.state())

    def _begin_to_drop(self) -> None:
        for key in sorted(self._retiring):
            if not self._users[key]:
                self._retiring.discard(key)
                self._drop(key)
                return

    def _drop(self, key: str) -> None:
        assert self._bank is not None
        self._chores.append(
            _Chore(
                key,
                self._bank.drop(key),
                lambda: self._forget(key),
                lambda error: self._forget(key),
            )
        )

    def _forget(self, key: str) -> None:
        self._versions.pop(key, None)
        self._users.pop(key, None)
        name = key.rpartition("@")[0]
        again = self._wanted.get(name)
        if again is not None and key == f"{name}@{again.version}":
            # It was wanted again while it was on its way out.
            self._want(name, again)

    def _loaded(self, name: str, key: str) -> None:
        row = self._wanted.get(name)
        if row is not None and key == f"{name}@{row.version}":
            self._name(name, key)
        else:
            self._retire(key)

    def _not_loaded(self, name: str, key: str, error: Exception) -> None:
        said = f"It does not fit: {type(error).__name__}: {error}"
        self._fail(name, self._versions.get(key, 0), said)
        self._drop(key)

    def begin(self, spans: list[tuple[str, int]]) -> None:
        """Whose the rows of the next forward pass are: (key or "", how many), in order."""
        if self._bank is not None:
            self._bank.begin(spans)

    def end(self) -> None:
        """The forward pass is over."""
        if self._bank is not None:
            self._bank.end()


def load_first(path: Path, adapters: Adapters) -> Wanted:
    """On the engine's thread, before it serves: all that is wanted, or ModelRefused."""
    try:
        wanted = Wanted.read(path)
    except UNREADABLE as error:
        raise ModelRefused(f"{path.name} cannot be read: {error}") from error
    adapters.apply(wanted.adapters)
    adapters.between_steps(idle=True)
    for name, (_, why) in adapters.state()["failed"].items():
        raise ModelRefused(f"The adapter {name} cannot be served: {why}")
    return wanted


class WantedWatch(threading.Thread):
    """Looks at the file that says what is wanted, until closed."""

    def __init__(
        self, path: Path, changed: Callable[[Wanted], None], log: Callable[[str], None]
    ) -> None:
        super().__init__(name="wanted", daemon=True)
        self._path, self._changed, self._log = path, changed, log
        self._closing = threading.Event()
        #: What changed before it began to look is found by its first look.
        self._seen = (0, 0)

    def run(self) -> None:
        while not self._closing.wait(LOOK_S):
            stamp = self._stamp()
            if stamp == self._seen:
                continue
            self._seen = stamp
            try:
                self._changed(Wanted.read(self._path))
            except UNREADABLE as error:
                self._log(f"{self._path.name} cannot be read: {error}")
            except Exception as error:
                self._log(f"adapters: {type(error).__name__}: {error}")

    def close(self) -> None:
        """No more looks."""
        self._closing.set()

    def _stamp(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return 0, 0
        return found.st_ino, found.st_mtime_ns
