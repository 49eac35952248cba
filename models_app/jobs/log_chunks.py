"""How log lines are packed into a chunk, and what a search may ask of a chunk without unpacking it.

A body is zstd over three parts: a line of JSON (what the times have in common, streams and levels
as runs), a line with the rest of the times, and the texts, one a line. Bodies that do not begin as
zstd are of an earlier time: zlib over JSON `[[at, stream, level, text], …]`; they are read, never
written.
"""

import json
import re
import threading
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, repeat
from typing import Any

import zstandard

#: (at, stream, level, text)
Line = tuple[str, str, str, str]

#: A chunk of so many lines or bytes stands for itself; smaller ones are joined in time.
SOLID_LINES, SOLID_BYTES = 2048, 512 << 10
#: No chunk is larger than one full shipment, so that a reader's memory is bounded.
MOST_BYTES = 64 << 20
LEVELS = {"debug": 1, "info": 2, "mark": 2, "warning": 4, "error": 8}
GRAM_BITS = 1 << 14
WORDS = re.compile(rb"[0-9a-z_]{3,}")
_ZSTD = b"\x28\xb5\x2f\xfd"
_tools = threading.local()


@dataclass(frozen=True, slots=True)
class Packed:
    """Columns of one chunk."""

    body: bytes
    size: int
    levels: int
    grams: bytes | None


@dataclass(frozen=True, slots=True)
class Opened:
    """An unpacked chunk: times, streams and levels still folded up; texts as one block."""

    head: dict[str, Any]
    times: str
    texts: bytes

    def columns(self) -> tuple[list[str], list[str], list[str], list[str]]:
        prefix = self.head["at"]
        return (
            [prefix + rest for rest in self.times.split(",")],
            _unfold(self.head["streams"]),
            _unfold(self.head["levels"]),
            self.texts.decode("utf-8", "surrogatepass").split("\n"),
        )


def pack(lines: Sequence[Line], *, index: bool = False) -> Packed:
    """Pack at least one line. The index of a small chunk is left out unless it is asked for."""
    times, streams, levels, texts = zip(*lines, strict=True)
    # Times are of one length and grow: what the ends have in common, all have in common.
    prefix = _shared(min(times), max(times))
    head: dict[str, Any] = {"at": prefix, "streams": _fold(streams), "levels": _fold(levels)}
    joined = "\n".join(texts)
    if joined.count("\n") != len(texts) - 1:
        joined = "\n".join(text.replace("\n", "\u2424") for text in texts)
    block = joined.encode("utf-8", "surrogatepass")
    rest = ",".join([at[len(prefix) :] for at in times])
    raw = b"\n".join((json.dumps(head, separators=(",", ":")).encode(), rest.encode(), block))
    solid = index or len(lines) >= SOLID_LINES or len(raw) >= SOLID_BYTES
    return Packed(
        body=_compressor().compress(raw),
        size=len(raw),
        levels=level_bits(set(levels)),
        grams=grams_of(block) if solid else None,
    )


def opened(body: bytes) -> Opened:
    """Unpack a body as far as a search needs it."""
    if not body.startswith(_ZSTD):
        return _opened_old(body)
    raw = _decompressor().decompress(body, max_output_size=MOST_BYTES)
    head, times, texts = raw.split(b"\n", 2)
    return Opened(json.loads(head), times.decode(), texts)


def rows(first_seq: int, epoch: int, body: bytes, *, after: int = 0) -> list[list[Any]]:
    """`[seq, at, epoch, stream, level, text]` of the lines after number `after`."""
    columns = opened(body).columns()
    skip = max(0, after + 1 - first_seq)
    if skip:
        columns = tuple(column[skip:] for column in columns)  # type: ignore[assignment]
    numbers = range(first_seq + skip, first_seq + skip + len(columns[0]))
    return [
        [seq, at, epoch, stream, level, text]
        for seq, at, stream, level, text in zip(numbers, *columns, strict=True)
    ]


def level_bits(levels: Iterable[str]) -> int:
    """The levels as bits; those nobody knows count as info."""
    bits = 0
    for name in levels:
        bits |= LEVELS.get(name, 2)
    return bits


def levels_from(level: str) -> int:
    """The bits of a level and those above it."""
    return 15 & ~(LEVELS[level] - 1)


def grams_of(texts: bytes) -> bytes:
    """A Bloom filter over the trigrams of all words of the texts, in lower case."""
    bits = bytearray(GRAM_BITS // 8)
    for place in _places(set(WORDS.findall(texts.lower()))):
        bits[place >> 3] |= 1 << (place & 7)
    return bytes(bits)


def may_contain(grams: bytes, places: Iterable[int]) -> bool:
    """Whether texts with all these trigrams may be in the chunk; never wrong when it says no."""
    return all(grams[place >> 3] & (1 << (place & 7)) for place in places)


def places_of(needle: str) -> set[int]:
    """Where the filter must be set for a chunk that contains the needle; empty: it cannot tell."""
    return _places(WORDS.findall(needle.lower().encode("utf-8", "surrogatepass")))


def _places(words: Iterable[bytes]) -> set[int]:
    grams = {word[at : at + 3] for word in words for at in range(len(word) - 2)}
    return {zlib.crc32(gram) & (GRAM_BITS - 1) for gram in grams}


def _shared(first: str, last: str) -> str:
    for at, (one, other) in enumerate(zip(first, last, strict=False)):
        if one != other:
            return first[:at]
    return min(first, last, key=len)


def _fold(values: Iterable[Any]) -> list[tuple[str, int]]:
    return [(str(value), sum(1 for _ in run)) for value, run in groupby(values)]


def _unfold(runs: Iterable[tuple[str, int]]) -> list[str]:
    return list(chain.from_iterable(repeat(value, count) for value, count in runs))


def _opened_old(body: bytes) -> Opened:
    lines = json.loads(zlib.decompress(body))
    times, streams, levels, texts = zip(*lines, strict=True)
    head = {"at": "", "streams": _fold(streams), "levels": _fold(levels)}
    block = "\n".join(text.replace("\n", "\u2424") for text in texts)
    return Opened(head, ",".join(times), block.encode("utf-8", "surrogatepass"))


def _compressor() -> zstandard.ZstdCompressor:
    # Neither may be used by two threads at once.
    if not hasattr(_tools, "pack"):
        _tools.pack = zstandard.ZstdCompressor(level=3)
    tool: zstandard.ZstdCompressor = _tools.pack
    return tool


def _decompressor() -> zstandard.ZstdDecompressor:
    if not hasattr(_tools, "unpack"):
        _tools.unpack = zstandard.ZstdDecompressor()
    tool: zstandard.ZstdDecompressor = _tools.unpack
    return tool
