"""Writes the documents of a split as numbered JSON-lines files of bounded size."""

from pathlib import Path
from typing import IO

SHARD_BYTES = 64 << 20
#: A message of an assistant in a line as we write it; text has its quotes escaped.
_ANSWER = b'"role":"assistant"'


class Shards:
    """`<folder>/00000.jsonl`, `00001.jsonl` …; counts what it is given."""

    def __init__(self, folder: Path, limit: int = SHARD_BYTES) -> None:
        self._folder, self._limit = folder, limit
        self._file: IO[bytes] | None = None
        self._size = self._number = 0
        self.documents = self.characters = self.bytes = self.answered = 0

    def add(self, line: bytes, *, characters: int, size: int) -> None:
        """Append one document: a JSON line, and how much text it holds."""
        if self._file is None or self._size + len(line) > self._limit:
            self._next()
        assert self._file is not None
        self._file.write(line)
        self._size += len(line)
        self.documents += 1
        self.characters += characters
        self.bytes += size
        self.answered += _ANSWER in line

    def close(self) -> None:
        """Finish the last file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def counts(self) -> dict[str, int]:
        """Documents, characters and bytes of text; conversations in which an assistant speaks."""
        return {
            "documents": self.documents, "characters": self.characters, "bytes": self.bytes,
            "answered": self.answered,
        }  # fmt: skip

    def _next(self) -> None:
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = (self._folder / f"{self._number:05}.jsonl").open("wb")
        self._number += 1
        self._size = 0
