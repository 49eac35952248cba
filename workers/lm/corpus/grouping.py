"""Finds equal and nearly equal texts among very many: what is known of each lies on disk.

Memory: 16 bytes for each text, and a fixed amount besides. The result depends on the texts and
their order alone.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from workers.lm.corpus.sketches import BANDS, Hashes, band_keys, similarity, windows
from workers.lm.corpus.texts import text_digest

#: Texts whose keys are sorted in memory at once.
PORTION = 1 << 21
#: Texts, and characters, that are sketched together.
SKETCHED_TEXTS, SKETCHED_CHARACTERS = 512, 1 << 21
#: In a bucket of texts with a common key: how many that differ from each other are asked.
LEADERS = 8
_PAIRS_KEPT, _HASHES_KEPT = 1 << 17, 16

Numbers = npt.NDArray[np.int32]


class Texts:
    """Takes normalised texts in order; `equal` and `near` then say which belong together."""

    def __init__(self, folder: Path, *, width: int = 16, near: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._width, self._near = width, near
        self.count = 0
        self._digests = (folder / "digests").open("w+b")
        bands = range(BANDS if near else 0)
        self._bands = [(folder / f"band{number:02}").open("w+b") for number in bands]
        self._waiting: list[str] = []
        self._held = 0

    def add(self, norm: str) -> None:
        """One more text; its number is how many there were before."""
        self._digests.write(text_digest(norm))
        self.count += 1
        if self._near:
            self._waiting.append(norm)
            self._held += len(norm)
            if len(self._waiting) >= SKETCHED_TEXTS or self._held >= SKETCHED_CHARACTERS:
                self._sketch()

    def _sketch(self) -> None:
        keys = band_keys(self._waiting, self._width)
        for band, file in enumerate(self._bands):
            file.write(np.ascontiguousarray(keys[:, band]).tobytes())
        self._waiting, self._held = [], 0

    def equal(self) -> Numbers:
        """For each text the number of the first one that is equal to it."""
        first = np.arange(self.count, dtype=np.int32)
        self._digests.flush()
        parts = self.count // PORTION + 1
        for part in range(parts):
            high, low, numbers = _portion(self._digests, 2, part, parts, None)
            order = np.lexsort((numbers, low, high))
            high, low, numbers = high[order], low[order], numbers[order]
            new = np.ones(len(numbers), bool)
            new[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
            first[numbers] = numbers[np.flatnonzero(new)[np.cumsum(new) - 1]]
        return first

    def near(
        self,
        first: Numbers,
        text_of: Callable[[int], str],
        threshold: float,
        look: Callable[[int], None] = lambda band: None,
    ) -> Numbers:
        """For each text the number of the first one of its cluster of equal and similar ones.

        `text_of` reads a normalised text again; `look` hears of every band that is done and may
        raise to end the work.
        """
        if self._waiting:
            self._sketch()
        joined = _Clusters(first, text_of, threshold, self._width)
        alone = first == np.arange(self.count, dtype=np.int32)
        parts = self.count // PORTION + 1
        for band, file in enumerate(self._bands):
            file.flush()
            for part in range(parts):
                (keys, numbers) = _portion(file, 1, part, parts, alone)
                for bucket in _buckets(keys, numbers):
                    joined.bucket(bucket)
            look(band)
        return joined.leaders()

    def digest(self, number: int) -> bytes:
        """The digest of one text, after `equal`."""
        self._digests.seek(16 * number)
        return self._digests.read(16)

    def close(self) -> None:
        for file in (self._digests, *self._bands):
            file.close()


class _Clusters:
    """Joins texts whose windows agree; the smallest number leads a cluster."""

    def __init__(
        self, first: Numbers, text_of: Callable[[int], str], threshold: float, width: int
    ) -> None:
        self._up = first.copy()
        self._text_of, self._threshold, self._width = text_of, threshold, width
        self._unlike: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._hashes: OrderedDict[int, Hashes] = OrderedDict()

    def bucket(self, numbers: list[int]) -> None:
        leaders = numbers[:1]
        for number in numbers[1:]:
            if any(self._root(number) == self._root(leader) for leader in leaders):
                continue
            for leader in leaders:
                if self._alike(leader, number):
                    low, high = sorted((self._root(leader), self._root(number)))
                    self._up[high] = low
                    break
            else:
                if len(leaders) < LEADERS:
                    leaders.append(number)

    def leaders(self) -> Numbers:
        up = self._up
        while True:
            higher = up[up]
            if np.array_equal(higher, up):
                return up
            up = higher

    def _root(self, number: int) -> int:
        up = self._up
        while up[number] != number:
            up[number] = up[up[number]]
            number = int(up[number])
        return number

    def _alike(self, one: int, other: int) -> bool:
        if (one, other) in self._unlike:
            return False
        if similarity(self._windows(one), self._windows(other)) >= self._threshold:
            return True
        self._unlike[one, other] = None
        if len(self._unlike) > _PAIRS_KEPT:
            self._unlike.popitem(last=False)
        return False

    def _windows(self, number: int) -> Hashes:
        if number in self._hashes:
            self._hashes.move_to_end(number)
            return self._hashes[number]
        found = windows(self._text_of(number), self._width)
        if len(found) < 1 << 18:
            self._hashes[number] = found
            if len(self._hashes) > _HASHES_KEPT:
                self._hashes.popitem(last=False)
        return found


def _portion(
    file: IO[bytes], words: int, part: int, parts: int, wanted: npt.NDArray[np.bool_] | None
) -> tuple[npt.NDArray[Any], ...]:
    """Of a file of keys of so many words: the keys whose remainder is `part`, and their numbers."""
    file.seek(0)
    start, found = 0, []
    while data := file.read(PORTION * 8 * words):
        keys = np.frombuffer(data, np.uint64).reshape(-1, words)
        chosen = np.ones(len(keys), bool) if wanted is None else wanted[start : start + len(keys)]
        if parts > 1:
            chosen = chosen & (keys[:, 0] % np.uint64(parts) == part)
        at = np.flatnonzero(chosen)
        found.append((*(keys[at, word] for word in range(words)), (at + start).astype(np.int32)))
        start += len(keys)
    if not found:
        return (*(np.zeros(0, np.uint64) for _ in range(words)), np.zeros(0, np.int32))
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def _buckets(keys: Hashes, numbers: Numbers) -> Iterator[list[int]]:
    """Numbers with a common key, where there are at least two, each bucket in order."""
    order = np.lexsort((numbers, keys))
    keys, numbers = keys[order], numbers[order]
    borders = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    starts = np.concatenate(([0], borders))
    ends = np.concatenate((borders, [len(keys)]))
    for at in np.flatnonzero(ends - starts > 1):
        yield numbers[starts[at] : ends[at]].tolist()
