"""A revision of a model on a server that speaks the Hub's API: Slipway's own, or any other.

Files come several at once, each into its part; a part that broke off goes on by `Range`, in this
attempt or in the next one. What is complete must have the digest that the hub names.
"""

import hashlib
import json
import re
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from workers.importing.addresses import Answer, Web
from workers.importing.errors import ImportRefused, SourceAway, SourceLies
from workers.importing.intake import CHUNK, Intake, TooLarge

#: Bytes of the list of a revision's files.
MOST_INFO = 32 << 20
#: Tries in a row that bring nothing before this attempt gives up; the job tries again later.
TRIES = 5
PAUSE_S = 0.3
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file as the hub lists it. `sha256` where it names one; `etag` is its word otherwise."""

    name: str
    size: int | None
    sha256: str
    etag: str

    @property
    def stamp(self) -> str:
        return f"{self.sha256 or self.etag}-{self.size}"


@dataclass(frozen=True, kw_only=True)
class Known:
    """Files that the team has already: by sha256, and by a hub's word for them."""

    sha256: dict[str, int]
    etags: dict[str, dict[str, Any]]
    #: Where the blob of a digest lies on this machine, if it does.
    place: Any


class Hub:
    """One revision of one repository."""

    def __init__(self, web: Web, repo: str, revision: str) -> None:
        self.web, self.repo, self.revision = web, repo, revision
        self.commit = ""

    def files(self) -> list[Remote]:
        """What the revision holds. Raises ImportRefused where there is no such thing."""
        place = f"{quote(self.repo)}/revision/{quote(self.revision, safe='')}?blobs=true"
        url = f"{self.web.base}/api/models/{place}"
        answer = self.web.get(url, {"Accept": "application/json"})
        try:
            self._check(answer)
            data = b""
            while piece := answer.read(CHUNK):
                data += piece
                if len(data) > MOST_INFO:
                    raise ImportRefused("url", "Its list of files is longer than 32 MiB.")
        finally:
            answer.close()
        return self._listed(data)

    def _check(self, answer: Answer) -> None:
        status = answer.status
        if status == 200:
            return
        if status in (401, 403):
            said = "The hub does not let this token read it. Give a token that may."
            raise ImportRefused("token", said)
        if status == 404:
            said = answer.header("X-Error-Code")
            field = "revision" if said == "RevisionNotFound" else "repo"
            what = f"revision {self.revision!r}" if field == "revision" else f"model {self.repo!r}"
            raise ImportRefused(field, f"The hub has no {what}, or hides it from this token.")
        if status == 429 or status >= 500:
            raise SourceAway(f"The hub answers {status}.")
        raise ImportRefused("url", f"The hub answers {status}; is this the address of a hub?")

    def _listed(self, data: bytes) -> list[Remote]:
        try:
            info = json.loads(data)
            self.commit = str(info["sha"])
            rows = list(info["siblings"])
            if not _SHA1.fullmatch(self.commit):
                raise ValueError("sha")
            return [_remote(row) for row in rows]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            said = "It does not answer as a hub does; is this the address of a hub?"
            raise ImportRefused("url", said) from None

    def open(self, name: str, begin: int = 0) -> Answer:
        """The bytes of a file from `begin` on."""
        url = f"{self.web.base}/{quote(self.repo)}/resolve/{self.commit}/{quote(name)}"
        headers = {"Range": f"bytes={begin}-"} if begin else {}
        answer = self.web.get(url, headers)
        if answer.status not in (200, 206, 416):
            if answer.status == 404:
                answer.close()
                raise SourceLies(f"{name}: the hub lists it and does not have it.")
            try:
                self._check(answer)
            finally:
                answer.close()
        return answer


def _remote(row: dict[str, Any]) -> Remote:
    lfs = row.get("lfs") or {}
    sha256 = str(lfs.get("sha256") or lfs.get("oid") or "").removeprefix("sha256:").lower()
    size = lfs.get("size", row.get("size"))
    return Remote(
        name=str(row["rfilename"]),
        size=size if type(size) is int and 0 <= size < 1 << 48 else None,
        sha256=sha256 if _SHA256.fullmatch(sha256) else "",
        etag=str(row.get("blobId") or "")[:80],
    )


def take_hub(intake: Intake, hub: Hub, known: Known) -> None:
    """Take every file of the revision that passes the gate."""
    wanted = []
    for remote in hub.files():
        if not intake.wants(remote.name):
            if intake.gate.full:
                return
        elif not intake.is_taken(remote.name):
            _inspect(intake, hub, remote)
        elif not intake.earlier(remote.name, remote.stamp) and not _known(intake, remote, known):
            wanted.append(remote)
    intake.total = intake.done + sum(remote.size or 0 for remote in wanted)
    if intake.total > intake.limits.total_bytes:
        raise TooLarge
    if intake.report.blocked:
        return  # it will not come to be; nothing needs to be transferred for that
    with ThreadPoolExecutor(max(1, intake.limits.connections)) as pool:
        asked = [pool.submit(_Download(intake, hub, remote).run) for remote in wanted]
        done, left = wait(asked, return_when=FIRST_EXCEPTION)
        for task in left:
            task.cancel()
        for task in done:
            task.result()


def _known(intake: Intake, remote: Remote, known: Known) -> bool:
    """Whether the team has the very file already, so that nothing is to be transferred."""
    entry = None
    if remote.sha256 in known.sha256 and known.sha256[remote.sha256] == remote.size:
        entry = {"sha256": remote.sha256, "size": remote.size}
    elif not remote.sha256 and remote.etag in known.etags:
        entry = known.etags[remote.etag]
    path: Path | None = known.place(entry["sha256"]) if entry else None
    if entry is None or path is None or path.stat().st_size != entry["size"]:
        return False
    intake.adopt(remote.name, remote.stamp, path, entry, remote.etag)
    return True


def _inspect(intake: Intake, hub: Hub, remote: Remote) -> None:
    """Look at the beginning of a file that is not taken, to say what it is."""
    answer = hub.open(remote.name)
    try:
        intake.inspect(remote.name, answer)  # type: ignore[arg-type]
    except SourceAway:
        intake.report.add("files.unknown", remote.name, "It is of a kind that is not taken.")
    finally:
        answer.close()


class _Download:
    """One file into its part."""

    def __init__(self, intake: Intake, hub: Hub, remote: Remote) -> None:
        self.intake, self.hub, self.remote = intake, hub, remote
        self.part = intake.part(remote.name, remote.stamp)
        self.most = remote.size if remote.size is not None else intake.limits.total_bytes

    def run(self) -> None:
        """Go on until the file is whole. Raises SourceAway after some tries that bring nothing."""
        kept = self.part.stat().st_size if self.part.exists() else 0
        if kept:
            self.intake.count_kept(kept)
        fruitless = damaged = 0
        while True:
            before = self.part.stat().st_size if self.part.exists() else 0
            try:
                self._fetch(before)
            except SourceAway:
                grown = self.part.exists() and self.part.stat().st_size > before
                fruitless = 0 if grown else fruitless + 1
                if fruitless >= TRIES:
                    raise
                time.sleep(PAUSE_S * 2**fruitless)
                continue
            sha256, problem = self._checked()
            if not problem:
                size = self.part.stat().st_size
                self.intake.finish(
                    self.remote.name, self.remote.stamp, self.part, sha256, size, self.remote.etag
                )
                return
            damaged += 1
            self.part.unlink()
            if damaged > 1:
                raise SourceLies(f"{self.remote.name}: {problem}")

    def _fetch(self, begin: int) -> None:
        if self.remote.size is not None and begin == self.remote.size:
            return
        answer = self.hub.open(self.remote.name, begin)
        try:
            if answer.status == 416:
                return
            resumed = answer.status == 206 and _starts_at(answer, begin)
            if begin and not resumed:
                self.intake.count_kept(-begin)
            with self.part.open("ab" if resumed else "wb") as file:
                self._copy(answer, file, begin if resumed else 0)
        finally:
            answer.close()

    def _copy(self, answer: Answer, file: IO[bytes], at: int) -> None:
        said = answer.header("Content-Length")
        end = at + int(said) if said.isascii() and said.isdecimal() else None
        while chunk := answer.read(CHUNK):
            if at + len(chunk) > self.most:
                name = self.remote.name
                raise SourceLies(f"{name}: more than the {self.most:,} bytes that were announced.")
            self.intake.room(len(chunk))
            file.write(chunk)
            at += len(chunk)
            self.intake.count(len(chunk))
        wanted = self.remote.size if self.remote.size is not None else end
        if wanted is not None and at < wanted:
            raise SourceAway(f"It broke off {wanted - at:,} bytes before the end.")

    def _checked(self) -> tuple[str, str]:
        """The sha256 of what came, and what is wrong with it."""
        sha256, git = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
        git.update(b"blob %d\0" % self.part.stat().st_size)
        with self.part.open("rb") as file:
            while chunk := file.read(CHUNK):
                sha256.update(chunk)
                git.update(chunk)
        found = sha256.hexdigest()
        if self.remote.sha256 and found != self.remote.sha256:
            return found, f"its sha256 is {found[:16]}…, the hub says {self.remote.sha256[:16]}…"
        named = not self.remote.sha256 and _SHA1.fullmatch(self.remote.etag)
        if named and git.hexdigest() != self.remote.etag:
            return found, "it does not have the digest that the hub names"
        return found, ""


def _starts_at(answer: Answer, begin: int) -> bool:
    return answer.header("Content-Range").startswith(f"bytes {begin}-")
