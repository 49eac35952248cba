"""The body of a commit: lines of JSON, a header first, then one line for each file.

Format after https://github.com/huggingface/huggingface_hub/issues/1085: `file` carries its content
in base64, `lfsFile` names a file that was sent before, `deletedFile` and `deletedFolder` a path.
Content goes to the store in pieces, so a line may be as long as it likes.
"""

import base64
import binascii
import io
import json
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from django.utils.translation import gettext as _

from models_app.core.blobs import BlobWriter, blob_put
from models_app.core.errors import FieldError
from models_app.core.trees import Put, Remove

#: A longer line is not read as a whole; base64 is taken in pieces of a multiple of four.
LONG = 1 << 20
PIECE = 4 << 18
#: The content begins this early in its line.
EARLY = 4096
_OID = re.compile(r"[0-9a-f]{64}")
_MARK = b'"content":'


@dataclass
class Commit:
    """What a client wants to change. `sent` are the contents that came with it."""

    title: str = ""
    parent: str = ""
    changes: list[Put | Remove] = field(default_factory=list)
    sent: list[tuple[str, int]] = field(default_factory=list)


def read_commit(body: IO[bytes]) -> Commit:
    """The commit, its contents stored. Raises FieldError naming the line."""
    commit = Commit()
    body.flush()
    if not body.seek(0, 2):
        raise FieldError("body", _("The commit is empty."))
    with mmap.mmap(body.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for number, (begin, end) in enumerate(_lines(data), 1):
            try:
                _take(commit, *_parsed(data, begin, end))
            except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
                said = _("Line %(n)s of the commit cannot be read.") % {"n": number}
                raise FieldError("body", said) from None
    return commit


def _lines(data: mmap.mmap) -> Iterator[tuple[int, int]]:
    begin = 0
    while begin < len(data):
        end = data.find(b"\n", begin)
        end = len(data) if end < 0 else end
        if end > begin:
            yield begin, end
        begin = end + 1


def _parsed(data: mmap.mmap, begin: int, end: int) -> tuple[dict[str, Any], BlobWriter | None]:
    """The line without a long content, and that content, written."""
    if end - begin <= LONG:
        return json.loads(data[begin:end]), None
    mark = data.find(_MARK, begin, begin + EARLY)
    first = data.find(b'"', mark + len(_MARK), mark + EARLY) + 1
    last = data.find(b'"', first, end)
    if mark < 0 or first < 1 or last < 0:
        raise ValueError("no content")
    line = json.loads(data[begin:first] + data[last:end])
    writer = BlobWriter()
    try:
        for at in range(first, last, PIECE):
            writer.write(base64.b64decode(data[at : min(last, at + PIECE)], validate=True))
    except ValueError:
        writer.discard()
        raise
    return line, writer


def _take(commit: Commit, line: dict[str, Any], content: BlobWriter | None) -> None:
    key, value = line["key"], line["value"]
    if key == "header":
        commit.title = str(value["summary"])
        commit.parent = str(value.get("parentCommit") or "")
    elif key == "file":
        sha256, size = _stored(value, content)
        commit.sent.append((sha256, size))
        commit.changes.append(Put(path=str(value["path"]), sha256=sha256, size=size))
    elif key == "lfsFile":
        if value.get("algo", "sha256") != "sha256" or not _OID.fullmatch(str(value["oid"])):
            raise ValueError("oid")
        commit.changes.append(
            Put(path=str(value["path"]), sha256=str(value["oid"]), size=int(value["size"]))
        )
    elif key in ("deletedFile", "deletedFolder"):
        commit.changes.append(Remove(path=str(value["path"]), folder=key == "deletedFolder"))
    else:
        raise ValueError(key)


def _stored(value: dict[str, Any], content: BlobWriter | None) -> tuple[str, int]:
    if content is None:
        text = str(value["content"])
        plain = value.get("encoding", "base64") != "base64"
        return blob_put(
            io.BytesIO(text.encode() if plain else base64.b64decode(text, validate=True))
        )
    try:
        return content.publish()
    finally:
        content.discard()
