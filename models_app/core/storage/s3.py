"""The store in a bucket: `<prefix>/blobs/<sha256>`, and beside it small marks.

`renewed/<sha256>` says when somebody last found a file to be there and relied on it; `damaged/`
keeps what was set aside. All times are the server's own. Finding and removing exclude each other
by a lock in PostgreSQL: docs/decisions/0013-files-in-a-bucket.md has the whole protocol.
"""

import contextlib
import datetime as dt
import email.utils
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError
from django.db import OperationalError, connection, transaction

from models_app.core.storage import local, s3_upload
from models_app.core.storage.contract import CHUNK, Leftover, Part, Stored
from models_app.core.storage.errors import StoreUnavailable
from models_app.core.storage.fetching import missing
from models_app.core.storage.s3_client import explain, is_absent, told

#: Identifies the locks of blobs among the database's advisory locks.
LOCK = 0x5B10B
#: A removal that was not answered is surely over, or lost, after so long.
SETTLE_S = 10


class S3Home:
    """Both the store and what stands behind the cache on this machine's disk."""

    kind = "s3"

    def __init__(self, url: str, client: Any, hasty: Any) -> None:
        """`hasty` gives up soon: it is used where a lock is held alone."""
        parts = urlsplit(url)
        self.place, self.bucket = url, parts.netloc
        self.client, self._hasty = client, hasty
        self._prefix = f"{parts.path.strip('/')}/".lstrip("/")

    # What blobs ask.

    @contextlib.contextmanager
    def read(self, sha256: str, begin: int = 0, end: int | None = None) -> Iterator[Part]:
        wanted = {}
        if begin or end is not None:
            wanted["Range"] = f"bytes={begin}-{'' if end is None else end - 1}"
        with self._told():
            try:
                answer = self.client.get_object(**self._at("blobs", sha256), **wanted)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 416:
                    yield Part(begin, 0, iter(()))
                    return
                if is_absent(error):
                    raise missing(sha256) from None
                raise
        body = answer["Body"]
        try:
            whole = answer["ResponseMetadata"]["HTTPStatusCode"] == 200
            yield Part(0 if whole else begin, answer["ContentLength"], _chunks(body, self.place))
        finally:
            body.close()

    def push(self, path: Path, sha256: str, size: int) -> None:
        if self.renew(sha256) == size:
            return
        with self._told():
            s3_upload.send(self, path, sha256, size)

    def renew(self, sha256: str) -> int | None:
        with _hold(sha256, shared=True):
            size = self.size(sha256)
            if size is not None:
                self.mark(sha256)
            return size

    def size(self, sha256: str) -> int | None:
        facts = self._head("blobs", sha256)
        return None if facts is None else int(facts["ContentLength"])

    # What those who tidy up ask.

    def now(self) -> float:
        with self._told():
            answer = self.client.list_objects_v2(Bucket=self.bucket, MaxKeys=1)
        return _server_time(answer)

    def each(self) -> Iterator[Stored]:
        renewed = {one.sha256: one.renewed_at for one in self._listed("renewed")}
        for one in self._listed("blobs"):
            last = max(one.renewed_at, renewed.get(one.sha256, 0.0))
            yield Stored(one.sha256, one.size, last)

    def remove(self, sha256: str, before: float) -> int | None:
        with _hold(sha256, shared=False) as held:
            blob = self._head("blobs", sha256, self._hasty) if held else None
            if blob is None:
                return None
            mark = self._head("renewed", sha256, self._hasty)
            if _newest(blob, mark) >= before:
                return None
            self._delete("blobs", sha256)
            if mark:
                self._delete("renewed", sha256)
            return int(blob["ContentLength"])

    def _delete(self, folder: str, sha256: str) -> None:
        try:
            with self._told():
                self._hasty.delete_object(**self._at(folder, sha256))
        except StoreUnavailable:
            # It may still be carried out. Until then nobody may find the file and rely on it.
            time.sleep(SETTLE_S)
            raise

    def _forget_mark(self, sha256: str, before: float) -> None:
        """An old mark says nothing that the absence of one does not say."""
        with _hold(sha256, shared=False) as held:
            mark = self._head("renewed", sha256, self._hasty) if held else None
            if mark and _newest(mark) < before:
                self._delete("renewed", sha256)

    def leftovers(self, before: float) -> Iterator[Leftover]:
        yield from local.temporary(before)
        with self._told():
            yield from s3_upload.unfinished(self, before)
        for mark in self._listed("renewed"):
            if mark.renewed_at < before:
                yield Leftover(mark.sha256, mark.size, mark.renewed_at, (mark.sha256, before))

    def clear(self, leftover: Leftover) -> None:
        handle = leftover.handle
        if isinstance(handle, Path):
            local.clear(leftover)
        elif isinstance(handle, s3_upload.Unfinished):
            with self._told():
                s3_upload.abort(self, handle)
        else:
            self._forget_mark(*handle)

    def set_aside(self, sha256: str) -> None:
        source, target = self._at("blobs", sha256), self._at("damaged", sha256)
        # Not under the lock, for the copy of a large file takes long: storing the file anew
        # meanwhile is only undone, and the next check of it finds nothing wrong to tell.
        with self._told():
            self.client.copy(source, **target)
        with _hold(sha256, shared=False) as held:
            if held:
                self._delete("blobs", sha256)

    def aside(self) -> Iterator[Stored]:
        return self._listed("damaged")

    def free(self) -> tuple[int, int] | None:
        return None

    def check(self) -> str:
        """What is wrong with the settings or the way to the server, in one line; empty: nothing."""
        try:
            self.client.list_objects_v2(Bucket=self.bucket, Prefix=self._prefix, MaxKeys=1)
        except (ClientError, BotoCoreError) as error:
            return explain(error)
        return ""

    def mark(self, sha256: str) -> None:
        """This file is relied on from now on."""
        with self._told():
            self.client.put_object(**self._at("renewed", sha256), Body=b"")

    def key(self, folder: str, sha256: str = "") -> str:
        return f"{self._prefix}{folder}/{sha256}"

    def _at(self, folder: str, sha256: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.key(folder, sha256)}

    def _head(self, folder: str, sha256: str, client: Any = None) -> dict[str, Any] | None:
        with self._told():
            try:
                at = self._at(folder, sha256)
                found: dict[str, Any] = (client or self.client).head_object(**at)
            except ClientError as error:
                if is_absent(error):
                    return None
                raise
            return found

    def _listed(self, folder: str) -> Iterator[Stored]:
        pages = self.client.get_paginator("list_objects_v2")
        prefix = self.key(folder)
        with self._told():
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
                for one in page.get("Contents", []):
                    name = one["Key"].removeprefix(prefix)
                    yield Stored(name, one["Size"], one["LastModified"].timestamp())

    def _told(self) -> contextlib.AbstractContextManager[None]:
        return told(self.place)


@contextlib.contextmanager
def _hold(sha256: str, *, shared: bool) -> Iterator[bool]:
    """Whether the lock of this file is ours, to the end of the transaction.

    Whoever finds the file waits; whoever wants to remove it does not.
    """
    number = int(sha256[:8], 16) - (1 << 31)
    call = "pg_advisory_xact_lock_shared" if shared else "pg_try_advisory_xact_lock"
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SELECT {call}(%s, %s)", [LOCK, number])
            row = cursor.fetchone()
            yield shared or bool(row and row[0])
    except OperationalError as error:
        raise StoreUnavailable(f"The database keeps no locks: {error}") from error


def _chunks(body: Any, place: str) -> Iterator[bytes]:
    with told(place):
        while chunk := body.read(CHUNK):
            yield chunk


def _newest(*facts: dict[str, Any] | None) -> float:
    times: list[dt.datetime] = [each["LastModified"] for each in facts if each]
    return max(at.timestamp() for at in times)


def _server_time(answer: dict[str, Any]) -> float:
    said = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        return email.utils.parsedate_to_datetime(said).timestamp()
    except ValueError as error:
        raise StoreUnavailable("The server of the bucket does not tell its time.") from error
