"""Documents in JSON-lines files, one `{"text": …}` or `{"messages": […]}` per line."""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import zstandard

from workers.lm.errors import InvalidWork
from workers.lm.tokenizers.markers import conversation_text

LONGEST_LINE = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Document:
    """A text with its place among all documents, counted from zero."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """One line of JSON and where it stands, counted from one."""

    line: bytes
    file: Path
    number: int

    def record(self) -> Any:
        """What the line says; raises InvalidWork where it is no JSON."""
        try:
            return json.loads(self.line)
        except ValueError as error:  # includes text that is not UTF-8
            raise self.refused("is not JSON") from error

    def refused(self, what: str) -> InvalidWork:
        """The error that names this line: `Line 3 of train.jsonl is not JSON.`"""
        return InvalidWork("dataset", f"Line {self.number} of {self.file.name} {what}.")


class Documents:
    """Reads the documents of some files in order; `share_read` tells how far it has come."""

    def __init__(self, files: Sequence[Path | str]) -> None:
        self.files = [Path(file) for file in files]
        self._sizes = [self._size(file) for file in self.files]
        self._done = 0
        self._raw: IO[bytes] | None = None

    @property
    def total_bytes(self) -> int:
        """The size of all files as they lie on disk."""
        return sum(self._sizes)

    @property
    def share_read(self) -> float:
        """Between 0 and 1."""
        here = self._raw.tell() if self._raw is not None and not self._raw.closed else 0
        return min(1.0, (self._done + here) / max(1, self.total_bytes))

    def __iter__(self) -> Iterator[Document]:
        for index, row in enumerate(self.rows()):
            yield Document(index, _text_of(row))

    def rows(self) -> Iterator[DocumentRow]:
        """The lines of all files in order, as they stand there; empty ones are left out."""
        self._done = 0
        for file, size in zip(self.files, self._sizes, strict=True):
            yield from self._rows(file)
            self._done += size

    def _rows(self, file: Path) -> Iterator[DocumentRow]:
        with file.open("rb") as raw:
            self._raw = raw
            lines: Any = raw
            if file.suffix == ".zst":
                stream = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
                lines = io.BufferedReader(stream, 1 << 20)
            number = 0
            while line := lines.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    row = DocumentRow(b"", file, number)
                    raise row.refused("is longer than 256 MiB; split the document")
                if line.strip():
                    yield DocumentRow(line, file, number)
            self._raw = None

    @staticmethod
    def _size(file: Path) -> int:
        try:
            return file.stat().st_size
        except OSError as error:
            raise InvalidWork("dataset", f"The file {file.name} cannot be read.") from error


def _text_of(row: DocumentRow) -> str:
    record = row.record()
    if isinstance(record, dict):
        if isinstance(text := record.get("text"), str):
            return clean(text) if b"\\u" in row.line else text
        if isinstance(messages := record.get("messages"), list):
            try:
                return clean(conversation_text(messages))
            except (ValueError, AttributeError) as error:
                raise row.refused("holds a message without role or text") from error
    raise row.refused('has no "text"')


def clean(text: str) -> str:
    """Replace halves of surrogate pairs, which an escape in JSON can spell but no text holds."""
    return text.encode("utf-8", "replace").decode("utf-8")


def pieces(text: str, longest: int = 65_536) -> Iterator[str]:
    """Cut a long text into parts, before white space where there is any near the limit."""
    start = 0
    while len(text) - start > longest:
        end = start + longest
        for gap in ("\n", " "):
            found = text.rfind(gap, start + longest // 2, end)
            if found > start:
                end = found
                break
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]
