"""Turns each kind of source file into documents, or says which line is wrong and why."""

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.lm.corpus.sources import (
    LONGEST_DOCUMENT,
    MIB,
    Allowance,
    Counted,
    InvalidSource,
    Source,
    Unpacked,
    decode,
    read_lines,
)
from workers.lm.data.questions import SHAPES, checked_question, question_text
from workers.lm.tokenizers.markers import conversation_text

#: With `auto`, so many text files are taken for one document each.
MANY_FILES = 20
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Found:
    """One document: its text or its messages, and the line it begins in."""

    record: dict[str, Any]
    text: str
    line: int
    whole_file: bool = False


def text_mode(sources: Sequence[Source], document: str) -> str:
    """What a document is in text files: `file`, `paragraph` or `line`."""
    if document != "auto":
        return document
    files = sum(source.format == ".txt" for source in sources)
    return "file" if files >= MANY_FILES else "paragraph"


class Reader:
    """The documents of one source; `raw` tells how far it has read, `digest` what it has read."""

    def __init__(
        self,
        source: Source,
        *,
        mode: str,
        text_field: str,
        allowance: Allowance,
        work_dir: Path,
        on_invalid: Callable[[int, str], None] | None = None,
        shape: str = "documents",
    ) -> None:
        self.source, self.raw = source, Counted(source.path)
        #: Hears of rows that do not fit (line and reason), which are then passed over.
        self._on_invalid = on_invalid
        self._mode, self._field, self._shape = mode, text_field, shape
        self._allowance, self._work = allowance, work_dir

    def __iter__(self) -> Iterator[Found]:
        if self.source.size == 0:
            raise InvalidSource(f"{self.source.name} is empty.")
        if self._shape in SHAPES and self.source.format != ".jsonl":
            raise InvalidSource(
                f"{self.source.name}: questions come from JSON lines only. Write them as .jsonl."
            )
        rows = {
            ".txt": self._texts,
            ".jsonl": self._json_lines,
            ".csv": self._table,
            ".parquet": self._parquet,
        }[self.source.format]
        for found in rows():
            _check_text(found.text, self.source.name, found.line)
            yield found

    def finish(self) -> str:
        """The SHA-256 of the file; reads what a reader left unread."""
        digest = self.raw.finish()
        self.raw.close()
        return digest

    def _stream(self) -> "io.BufferedReader[Unpacked]":
        # Kept, because a collected stream would close the file below it before `finish`.
        self._open = io.BufferedReader(Unpacked(self.source, self.raw, self._allowance), MIB)
        return self._open

    def _texts(self) -> Iterator[Found]:
        if self._mode == "file":
            yield self._whole()
            return
        lines = read_lines(self._stream(), self.source.name)
        if self._mode == "line":
            for line in lines:
                text = line.text.rstrip("\r\n")
                yield Found({"text": text}, text, line.number)
            return
        yield from self._paragraphs(lines)

    def _whole(self) -> Found:
        data = self._stream().read(LONGEST_DOCUMENT + 1)
        if len(data) > LONGEST_DOCUMENT:
            raise InvalidSource(
                f"{self.source.name} has more than {LONGEST_DOCUMENT // MIB} MiB, too much for one "
                "document. Choose paragraph or line as the document.",
                "document",
            )
        skip = 3 if data.startswith(b"\xef\xbb\xbf") else 0
        parts, offset = [], skip
        for number, line in enumerate(io.BytesIO(data[skip:]), 1):
            parts.append(decode(line, self.source.name, number, offset))
            offset += len(line)
        text = "".join(parts).replace("\r\n", "\n")
        return Found({"text": text}, text, 1, whole_file=True)

    def _paragraphs(self, lines: Iterator[Any]) -> Iterator[Found]:
        held: list[str] = []
        first = size = 0
        for line in lines:
            text = line.text.rstrip("\r\n")
            if text.strip():
                first = first if held else line.number
                held.append(text)
                size += len(text) + 1
                if size > LONGEST_DOCUMENT:
                    raise InvalidSource(
                        f"{self.source.name}: the paragraph from line {first} on has more than "
                        f"{LONGEST_DOCUMENT // MIB} Mi characters. Choose line as the document.",
                        "document",
                    )
            elif held:
                yield _paragraph(held, first)
                held, size = [], 0
        if held:
            yield _paragraph(held, first)

    def _json_lines(self) -> Iterator[Found]:
        for line in read_lines(self._stream(), self.source.name):
            if line.text.strip():
                try:
                    found = self._json_line(line.text, line.number)
                except InvalidSource as error:
                    self._pass_over(line.number, error)
                else:
                    yield found

    def _pass_over(self, number: int, error: InvalidSource) -> None:
        if self._on_invalid is None:
            raise error
        where = f"{self.source.name} line {number}: "
        self._on_invalid(number, error.message.removeprefix(where))

    def _json_line(self, text: str, number: int) -> Found:
        where = f"{self.source.name} line {number}"
        try:
            record = json.loads(text)
        except RecursionError as error:
            raise InvalidSource(f"{where}: nested too deeply.") from error
        except json.JSONDecodeError as error:
            raise InvalidSource(
                f"{where}: not valid JSON: {error.msg} at column {error.colno}."
            ) from error
        except ValueError as error:
            raise InvalidSource(f"{where}: not valid JSON: {error}.") from error
        if not isinstance(record, dict):
            raise InvalidSource(f'{where}: not a JSON object. Write {{"{self._field}": "…"}}.')
        if self._shape in SHAPES:
            return _asked(record, self._shape, where, number)
        if self._field in record:
            return Found(*self._value(record[self._field], where), number)
        if isinstance(record.get("messages"), list):
            return Found(*_conversation(record["messages"], where), number)
        raise _missing(where, self._field, list(record))

    def _value(self, value: Any, where: str) -> tuple[dict[str, Any], str]:
        if value is None:
            value = ""
        if not isinstance(value, str):
            raise InvalidSource(
                f"{where}: the field {self._field!r} is not text but {type(value).__name__}.",
                "text_field",
            )
        return {"text": value}, value

    def _table(self) -> Iterator[Found]:
        csv.field_size_limit(LONGEST_DOCUMENT)
        lines = read_lines(self._stream(), self.source.name)
        reader = csv.reader((line.text for line in lines), strict=True)
        try:
            header = next(reader, None)
            if not header:
                raise InvalidSource(f"{self.source.name} has no header line.")
            if self._field not in header:
                raise _missing(self.source.name, self._field, header)
            column, before = header.index(self._field), reader.line_num
            for row in reader:
                number, before = before + 1, reader.line_num
                if not row:
                    continue
                if len(row) != len(header):
                    error = InvalidSource(
                        f"{self.source.name} line {number}: {len(row)} values where the header has "
                        f"{len(header)}. Quote values that hold commas or line breaks."
                    )
                    self._pass_over(number, error)
                    continue
                yield Found({"text": row[column]}, row[column], number)
        except csv.Error as error:
            raise InvalidSource(
                f"{self.source.name} line {reader.line_num}: not valid CSV: {error}."
            ) from error

    def _parquet(self) -> Iterator[Found]:
        import pyarrow
        from pyarrow import parquet

        path = self._plain_file()
        try:
            with parquet.ParquetFile(path, memory_map=False) as table:
                self._check_columns(table.schema_arrow, pyarrow.types)
                number = 0
                for batch in table.iter_batches(_ROWS_AT_ONCE, columns=[self._field]):
                    self._allowance.take(batch.nbytes, self.source.name)
                    for value in batch.column(0):
                        number += 1
                        text = value.as_py() or ""
                        yield Found({"text": text}, text, number)
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise InvalidSource(
                f"{self.source.name}: not a readable Parquet file ({reason}). Write it anew."
            ) from error

    def _check_columns(self, schema: Any, types: Any) -> None:
        if self._field not in schema.names:
            raise _missing(self.source.name, self._field, schema.names)
        kind = schema.field(self._field).type
        if types.is_dictionary(kind):
            kind = kind.value_type
        if not (types.is_string(kind) or types.is_large_string(kind)):
            raise InvalidSource(
                f"{self.source.name}: the column {self._field!r} is not text but {kind}.",
                "text_field",
            )

    def _plain_file(self) -> Path:
        """Parquet is read from its end, so a packed one is unpacked to disk first."""
        if not self.source.compression:
            return self.source.path
        path = self._work / "unpacked.parquet"
        with path.open("wb") as out:
            shutil.copyfileobj(self._stream(), out, MIB)
        return path


def _paragraph(lines: list[str], number: int) -> Found:
    text = "\n".join(lines)
    return Found({"text": text}, text, number)


def _conversation(messages: list[Any], where: str) -> tuple[dict[str, Any], str]:
    try:
        text = conversation_text(messages)
    except (ValueError, AttributeError) as error:
        raise InvalidSource(f"{where}: {error}.") from None
    kept = [{"role": item["role"], "content": item["content"]} for item in messages]
    return {"messages": kept}, text


def _asked(record: dict[str, Any], shape: str, where: str, number: int) -> Found:
    try:
        kept = checked_question(record, shape)
    except ValueError as error:
        raise InvalidSource(f"{where}: {error}.") from None
    return Found(kept, question_text(kept), number)


def _missing(where: str, field: str, there: list[str]) -> InvalidSource:
    names = ", ".join(repr(str(name)[:40]) for name in there[:12]) or "none"
    return InvalidSource(
        f"{where}: there is no field {field!r}. Fields there: {names}. Set the text field to one "
        "of them.",
        "text_field",
    )


def _check_text(text: str, name: str, line: int) -> None:
    """JSON escapes can spell what no text may hold."""
    if "\0" in text:
        raise InvalidSource(f"{name} line {line}: the text holds a NUL character. Remove it.")
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidSource(
            f"{name} line {line}: the text holds half of a surrogate pair "
            f"(\\u{ord(text[error.start]):04x}). Write the whole character."
        ) from None
    if size > LONGEST_DOCUMENT:
        raise InvalidSource(
            f"{name} line {line}: the document has more than {LONGEST_DOCUMENT // MIB} MiB."
        )
