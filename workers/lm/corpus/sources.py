"""Opens source files: hashed and counted while read, unpacked within limits, line by line."""

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from workers.lm.errors import InvalidWork

FORMATS = (".txt", ".jsonl", ".csv", ".parquet")
COMPRESSIONS = (".gz", ".zst")
MIB = 1 << 20
#: One document, and one line of a source, may have at most this many bytes.
LONGEST_DOCUMENT = 64 * MIB
#: Text packs to a tenth, rarely to a fiftieth; what unpacks to far more is an attack or a mistake.
LARGEST_RATIO = 200
RATIO_SLACK = 64 * MIB
_CHUNK = 1 << 16


class InvalidSource(InvalidWork):
    """A source file that cannot be imported; the message names the file, and the line if it can."""

    def __init__(self, message: str, field: str = "files") -> None:
        super().__init__(field, message)


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file to import: the name people know it by, and where it lies."""

    name: str
    path: Path
    size: int
    #: Its documents are for validation, where the split goes by files.
    held_out: bool = False

    @property
    def compression(self) -> str:
        """`.gz`, `.zst` or nothing."""
        suffix = Path(self.name).suffix.lower()
        return suffix if suffix in COMPRESSIONS else ""

    @property
    def format(self) -> str:
        """One of FORMATS, or InvalidSource."""
        name = self.name[: -len(self.compression)] if self.compression else self.name
        suffix = Path(name).suffix.lower()
        if suffix not in FORMATS:
            raise InvalidSource(
                f"{self.name}: the kind of file is unknown. Use {', '.join(FORMATS)}, "
                f"each also with {' or '.join(COMPRESSIONS)}."
            )
        return suffix


class Allowance:
    """How many more bytes of text all sources together may unpack to."""

    def __init__(self, limit: int) -> None:
        self.limit = self.left = limit

    def take(self, count: int, name: str) -> None:
        """Raises InvalidSource when it is used up."""
        self.left -= count
        if self.left < 0:
            raise InvalidSource(
                f"{name}: the sources unpack to more than {self.limit // MIB:,} MiB, which is the "
                "limit here. Import a part of them, or raise SLIPWAY_IMPORT_LIMIT_MIB."
            )


class Counted(io.RawIOBase):
    """The bytes of a file as they lie on disk, counted and hashed while they pass."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._hash = hashlib.sha256()
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        got = self._file.readinto(buffer) or 0
        self._hash.update(memoryview(buffer)[:got])
        self.count += got
        return got

    def finish(self) -> str:
        """Read what is left and return the SHA-256 of the whole file."""
        rest = bytearray(MIB)
        while self.readinto(rest):
            pass
        return self._hash.hexdigest()

    def close(self) -> None:
        self._file.close()
        super().close()


class _Zstd(io.RawIOBase):
    """Zstandard frames one after another; unlike the library's reader it notices a torn end."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw, self._ready = raw, b""
        self._open: Any = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            # Small bites: a few bytes can unpack to very many.
            data = self._raw.read(4096)
            if not data:
                if self._open is not None:
                    raise EOFError("it ends too early")
                return 0
            self._ready = self._unpack(data)
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def _unpack(self, data: bytes) -> bytes:
        parts = []
        while data:
            if self._open is None:
                self._open = zstandard.ZstdDecompressor(max_window_size=128 * MIB).decompressobj()
            parts.append(self._open.decompress(data))
            data = b""
            if self._open.eof:
                data, self._open = self._open.unused_data, None
        return b"".join(parts)


class Unpacked(io.RawIOBase):
    """The text of a source, whatever it is packed in; broken packing and bombs are named errors."""

    def __init__(self, source: Source, raw: Counted, allowance: Allowance) -> None:
        self._source, self._raw, self._allowance = source, raw, allowance
        self._out = 0
        self._inner: Any = raw
        if source.compression == ".gz":
            self._inner = gzip.GzipFile(fileobj=io.BufferedReader(raw, MIB), mode="rb")
        elif source.compression == ".zst":
            self._inner = _Zstd(raw)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        kind = {".gz": "gzip", ".zst": "Zstandard"}.get(self._source.compression, "")
        try:
            data = self._inner.read(min(len(buffer), _CHUNK))
        except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
            raise InvalidSource(
                f"{self._source.name}: the {kind} packing is broken ({str(error).rstrip('.')}). "
                "Pack the file again and import it anew."
            ) from error
        self._out += len(data)
        self._allowance.take(len(data), self._source.name)
        if kind and self._out > RATIO_SLACK + LARGEST_RATIO * self._raw.count:
            raise InvalidSource(
                f"{self._source.name} unpacks to more than {LARGEST_RATIO} times its size, "
                "which no text does. Unpack it yourself if it is meant so."
            )
        buffer[: len(data)] = data
        return len(data)


@dataclass(frozen=True, slots=True)
class Line:
    """A decoded line with its number, from 1; `text` keeps its line break."""

    number: int
    text: str


def read_lines(stream: BinaryIO | Any, name: str) -> Iterator[Line]:
    """Decode a source line by line; a byte order mark is passed over."""
    offset = number = 0
    while data := stream.readline(LONGEST_DOCUMENT + 1):
        number += 1
        if len(data) > LONGEST_DOCUMENT:
            raise InvalidSource(
                f"{name} line {number} is longer than {LONGEST_DOCUMENT // MIB} MiB. "
                "Break it into several lines."
            )
        skip = 3 if number == 1 and data.startswith(b"\xef\xbb\xbf") else 0
        yield Line(number, decode(data[skip:], name, number, offset + skip))
        offset += len(data)


def decode(data: bytes, name: str, number: int, offset: int) -> str:
    """UTF-8 text, or InvalidSource naming file, line and byte."""
    if offset == 0 and data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InvalidSource(f"{name} is UTF-16, not UTF-8. Save it as UTF-8 and import it again.")
    nul = data.find(b"\0")
    if nul >= 0:
        raise InvalidSource(
            f"{name} is binary, not text: there is a NUL byte at offset {offset + nul:,} "
            f"(line {number})."
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidSource(
            f"{name} is not UTF-8: byte 0x{data[error.start]:02x} at offset "
            f"{offset + error.start:,} (line {number}). Save it as UTF-8 and import it again."
        ) from error
