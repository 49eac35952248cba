"""Reads the shards of a dataset version row by row, and proves that they are what was stored."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.lm.data.questions import is_question, question_text
from workers.lm.tokenizers.markers import conversation_text

LONGEST_LINE = 256 << 20


class CorruptShard(RuntimeError):
    """A stored file is not what its digest says."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One JSON-lines file of a split; `sha256` is what it has to be."""

    split: str
    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line: where it stands, and its document or what is wrong with it."""

    split: str
    #: Counted from zero within the split.
    index: int
    #: Number of its shard among all, and the byte at which it begins there.
    shard: int
    offset: int
    size: int
    record: Mapping[str, Any]
    text: str
    #: `text`, `messages` or `question`; empty where the row is no document.
    kind: str
    problem: str = ""


def read_rows(shards: Sequence[Shard]) -> Iterator[Row]:
    """Every row of the shards in order; raises CorruptShard, naming the file."""
    index: dict[str, int] = {}
    for number, shard in enumerate(shards):
        digest, offset = hashlib.sha256(), 0
        with shard.path.open("rb") as lines:
            while line := lines.readline(LONGEST_LINE):
                digest.update(line)
                if line.strip():
                    at = index.get(shard.split, 0)
                    index[shard.split] = at + 1
                    record, text, kind, problem = document_of(line)
                    yield Row(
                        shard.split, at, number, offset, len(line), record, text, kind, problem
                    )
                offset += len(line)
        if digest.hexdigest() != shard.sha256:
            raise CorruptShard(
                f"{shard.split}/{shard.path.name} is not what was stored: its digest differs."
            )


def document_of(line: bytes) -> tuple[Mapping[str, Any], str, str, str]:
    """A line as (record, text, kind, problem); the text of a conversation is what was said."""
    try:
        record = json.loads(line)
    except UnicodeDecodeError as error:
        return {}, "", "", f"not UTF-8: byte 0x{line[error.start]:02x} at {error.start}"
    except (ValueError, RecursionError):
        return {}, "", "", "not JSON"
    if not isinstance(record, dict):
        return {}, "", "", f"not an object but {type(record).__name__}"
    text = record.get("text")
    if isinstance(text, str):
        return record, _whole(text, line), "text", ""
    messages = record.get("messages")
    if isinstance(messages, list):
        try:
            return record, _whole(conversation_text(messages), line), "messages", ""
        except (ValueError, AttributeError):
            return {}, "", "", "a message without role or text"
    if is_question(record):
        return record, _whole(question_text(record), line), "question", ""
    if "text" in record:
        return {}, "", "", f'"text" is {type(text).__name__}, not a string'
    names = ", ".join(sorted(str(name)[:40] for name in record)[:6])
    return {}, "", "", f'neither "text" nor "messages" but {names or "nothing"}'


def _whole(text: str, line: bytes) -> str:
    """Halves of surrogate pairs, which an escape in JSON can spell, stand in no text."""
    return text.encode("utf-8", "replace").decode() if b"\\u" in line else text


def shards_of(plain: Sequence[Mapping[str, str]]) -> list[Shard]:
    """Shards from `{split, path, sha256}`, as a job's inputs carry them."""
    return [
        Shard(split=one["split"], path=Path(one["path"]), sha256=one["sha256"]) for one in plain
    ]
