"""How long the documents of a version are: exact for small splits, else from a sample."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from models_app.core.blobs import blob_open
from models_app.datasets.models import DatasetVersion
from models_app.datasets.selectors import split_files

#: At most this much of a split is read; what a page may cost.
READ_BYTES = 8 << 20


@dataclass(frozen=True)
class Bin:
    """Documents with `low` to `high` characters."""

    low: int
    high: int
    documents: int


@dataclass(frozen=True)
class Lengths:
    """A histogram over `counted` documents; `complete` if these are all of the split."""

    bins: tuple[Bin, ...]
    counted: int
    shortest: int
    median: int
    longest: int
    complete: bool


def split_lengths(version: DatasetVersion, split: str, budget: int = READ_BYTES) -> Lengths | None:
    """Lengths in characters, each bin twice as wide as the one before; None for an empty split."""
    files = [(entry["sha256"], int(entry["size"])) for _path, entry in split_files(version, split)]
    return _measured(tuple(files), budget)


# Files are named by their content, so what was measured once holds for good.
@lru_cache(maxsize=256)
def _measured(files: tuple[tuple[str, int], ...], budget: int) -> Lengths | None:
    found: list[int] = []
    complete = True
    total = sum(size for _sha256, size in files)
    for sha256, size in files:
        # Each shard gives its beginning, so that a sample covers the whole split.
        share = None if total <= budget else budget * size // total
        for length in _shard(sha256, share):
            if length is None:
                complete = False
            else:
                found.append(length)
    return _lengths(found, complete) if found else None


def document_text(record: dict[str, object]) -> str:
    """The text of a stored document; of a conversation, what was said; of a question, all of it."""
    if "prompt" in record:
        return _question_text(record)
    messages = record.get("messages")
    if isinstance(messages, list):
        return "\n\n".join(f"{part.get('role')}: {part.get('content')}" for part in messages)
    return str(record.get("text", ""))


def _question_text(record: dict[str, object]) -> str:
    """The prompt, and below it the choices with the right one marked, or the answer."""
    choices, answer = record.get("choices"), record.get("answer")
    if not isinstance(choices, list):
        return f"{record['prompt']}\n→ {answer}"
    marked = (f"{'→' if n == answer else '·'} {choice}" for n, choice in enumerate(choices))
    return "\n".join([str(record["prompt"]), *marked])


def _shard(sha256: str, share: int | None) -> Iterator[int | None]:
    """Lengths of a shard's documents; ends with None where more would have been to read."""
    taken = 0
    with blob_open(sha256) as stream:
        for line in stream:
            if share is not None and taken + len(line) > share and taken:
                yield None
                return
            taken += len(line)
            yield len(document_text(json.loads(line)))


def _lengths(found: list[int], complete: bool) -> Lengths:
    found.sort()
    counts = Counter(max(1, length).bit_length() - 1 for length in found)
    bins = tuple(
        Bin(2**power if power else 0, 2 ** (power + 1) - 1, counts[power])
        for power in range(min(counts), max(counts) + 1)
    )
    return Lengths(bins, len(found), found[0], found[len(found) // 2], found[-1], complete)
