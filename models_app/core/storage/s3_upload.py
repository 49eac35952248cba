"""Files of any size into a bucket: small ones at once, large ones in parts through little memory.

A part is what it was whoever sent it, for the name of a file says what is in it. So an upload that
broke off goes on with the parts that are there, also from another process, and two that send the
same file at the same time help each other.
"""

import base64
import contextlib
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from s3transfer.utils import ReadFileChunk

from models_app.core.storage.contract import CHUNK, Leftover
from models_app.core.storage.s3_client import code_of

if TYPE_CHECKING:
    from models_app.core.storage.s3 import S3Home

#: Files up to this size go at once.
AT_ONCE = 32 << 20
#: Smallest part, and most parts: what Amazon allows, with some room.
LEAST_PART, MOST_PARTS = 16 << 20, 9000
#: Parts on their way at the same time.
SIDE_BY_SIDE = 4
_GONE = "NoSuchUpload"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An upload in parts that nobody has completed."""

    key: str
    upload_id: str


def send(home: "S3Home", path: Path, sha256: str, size: int) -> None:
    """Put the file there; it is complete and marked as new when this returns."""
    target = {"Bucket": home.bucket, "Key": home.key("blobs", sha256)}
    if size <= AT_ONCE:
        with path.open("rb") as body:
            md5 = _md5(path, 0, size)
            try:
                home.client.put_object(**target, Body=body, ContentLength=size, ContentMD5=md5)
            except ClientError:
                # Servers may refuse one of two that send the same at once: the other one's is ours.
                if home.renew(sha256) != size:
                    raise
        return
    for last in (False, True):
        try:
            return _send_parts(home, target, path, size, sha256)
        except ClientError as error:
            # Somebody else has completed it, or it was cleared away.
            if code_of(error) != _GONE or last:
                raise
            if home.size(sha256) == size:
                return


def part_size(size: int) -> int:
    """Follows from the size of the file alone, so that all who send it cut it alike."""
    return max(LEAST_PART, -(-size // MOST_PARTS))


def _send_parts(home: "S3Home", target: dict[str, str], path: Path, size: int, sha256: str) -> None:
    step = part_size(size)
    upload = {**target, "UploadId": _begun(home, target)}
    there = {part["PartNumber"]: part for part in _parts(home, upload)}

    def one(number: int) -> dict[str, Any]:
        begin = (number - 1) * step
        length = min(step, size - begin)
        known, md5 = there.get(number), _md5(path, begin, length)
        hexa = base64.b64decode(md5).hex()
        if known and known["Size"] == length and known["ETag"].strip('"') == hexa:
            return {"PartNumber": number, "ETag": known["ETag"]}
        with ReadFileChunk.from_filename(str(path), begin, length) as body:
            done = home.client.upload_part(
                **upload, PartNumber=number, Body=body, ContentLength=length, ContentMD5=md5
            )
        return {"PartNumber": number, "ETag": done["ETag"]}

    with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="s3-part") as pool:
        try:
            parts = list(pool.map(one, range(1, -(-size // step) + 1)))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    # Before it can be seen: its date may be the day on which the upload was begun.
    home.mark(sha256)
    home.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


def _begun(home: "S3Home", target: dict[str, str]) -> str:
    """The newest unfinished upload of this file, or a new one."""
    found = [up for up in _uploads(home, target["Key"]) if up["Key"] == target["Key"]]
    if found:
        return str(max(found, key=lambda up: up["Initiated"])["UploadId"])
    return str(home.client.create_multipart_upload(**target)["UploadId"])


def abort(home: "S3Home", upload: "Unfinished") -> None:
    """Drop an upload with its parts; harmless where it has ended meanwhile."""
    with contextlib.suppress(home.client.exceptions.NoSuchUpload):
        home.client.abort_multipart_upload(
            Bucket=home.bucket, Key=upload.key, UploadId=upload.upload_id
        )


def unfinished(home: "S3Home", before: float) -> Iterator[Leftover]:
    """Uploads to which nothing was added since `before`."""
    for upload in _uploads(home, home.key("blobs")):
        handle = Unfinished(upload["Key"], upload["UploadId"])
        known = {"Bucket": home.bucket, "Key": handle.key, "UploadId": handle.upload_id}
        parts = list(_parts(home, known))
        touched = max([upload["Initiated"], *(part["LastModified"] for part in parts)]).timestamp()
        if touched < before:
            name = handle.key.rsplit("/", 1)[-1]
            yield Leftover(name, sum(part["Size"] for part in parts), touched, handle)


def _uploads(home: "S3Home", prefix: str) -> Iterator[dict[str, Any]]:
    pages = home.client.get_paginator("list_multipart_uploads")
    for page in pages.paginate(Bucket=home.bucket, Prefix=prefix):
        yield from page.get("Uploads", [])


def _parts(home: "S3Home", upload: dict[str, str]) -> Iterator[dict[str, Any]]:
    pages = home.client.get_paginator("list_parts")
    with contextlib.suppress(home.client.exceptions.NoSuchUpload):
        for page in pages.paginate(**upload):
            yield from page.get("Parts", [])


def _md5(path: Path, begin: int, length: int) -> str:
    """Of a part of the file, as `Content-MD5` wants it."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        file.seek(begin)
        while length and (chunk := file.read(min(CHUNK, length))):
            digest.update(chunk)
            length -= len(chunk)
    return base64.b64encode(digest.digest()).decode()
