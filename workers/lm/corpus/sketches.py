"""MinHash sketches of texts, many at a time: near-duplicates share a band of their sketch.

A text is the set of its windows of `width` characters. One hash of each window falls into one of 64
bins, and each bin keeps its smallest (one-permutation hashing, Li, Owen, Zhang 2012); empty bins
borrow from others in a fixed order (optimal densification, Shrivastava 2017). Four bins are a band.
Two texts that share 80 % of their windows meet in at least one of the 16 bands with a chance of
99.98 %, at 90 % it is all but certain; who meets is compared in full. Everything is integer
arithmetic on 64 bits, so that it gives the same on every machine.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

BINS, BANDS = 64, 16
IN_BAND = BINS // BANDS
#: Characters that are worked on at once: few enough that all of it stays in the processor's cache.
AT_ONCE = 1 << 14
#: More windows than this are thinned out, alike in every text, before they are compared.
COMPARED = 1 << 18

Hashes = npt.NDArray[np.uint64]
_EMPTY = np.uint32(0xFFFFFFFF)
_ODD = [
    np.uint64(value)
    for value in (
        0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93,
        0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53,
    )
]  # fmt: skip


def _probes() -> npt.NDArray[np.int64]:
    """For each bin the order in which it asks the others, drawn by a fixed generator."""
    order = []
    state = 0x2545F4914F6CDD1D
    for _bin in range(BINS):
        left = list(range(BINS))
        picked = []
        while left:
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            picked.append(left.pop((state >> 33) % len(left)))
        order.append(picked)
    return np.array(order, np.int64)


_PROBES = _probes()


def windows(text: str, width: int) -> Hashes:
    """A hash of every window of a text, in order; a shorter text is one window."""
    padded = text.ljust(width, "\x01")
    codes = np.frombuffer(padded.encode("utf-32-le", "surrogatepass"), np.uint32)
    return _mixed(_rolled(codes, width))


def _rolled(codes: npt.NDArray[np.uint32], width: int) -> Hashes:
    """Polynomial hashes of all windows; the width doubles with every step."""
    hashes = codes.astype(np.uint64)
    hashes += _ODD[0]
    span, level = 1, 1
    while span < width:
        hashes = hashes[:-span] * _ODD[level % len(_ODD)] + hashes[span:]
        hashes ^= hashes >> np.uint64(29)
        span, level = span * 2, level + 1
    return hashes


def _mixed(hashes: Hashes) -> Hashes:
    hashes ^= hashes >> np.uint64(32)
    hashes *= _ODD[4]
    hashes ^= hashes >> np.uint64(29)
    hashes *= _ODD[5]
    hashes ^= hashes >> np.uint64(32)
    return hashes


def band_keys(texts: Sequence[str], width: int) -> Hashes:
    """One row of BANDS keys for each of the texts; texts with an equal key are candidates."""
    sketch = np.full(len(texts) * BINS, _EMPTY, np.uint32)
    for rows, parts in _portions(texts, width):
        _fold(sketch, rows, parts, width)
    return _bands(_dense(sketch.reshape(len(texts), BINS)))


def _portions(texts: Sequence[str], width: int) -> Iterator[tuple[list[int], list[str]]]:
    """The texts in portions of bounded size: whose they are, and the pieces."""
    rows: list[int] = []
    parts: list[str] = []
    held = 0
    for row, text in enumerate(texts):
        text = text.ljust(width, "\x01")
        for start in range(0, max(1, len(text) - width + 1), AT_ONCE):
            part = text[start : start + AT_ONCE + width - 1]
            rows.append(row)
            parts.append(part)
            held += len(part)
            if held >= AT_ONCE:
                yield rows, parts
                rows, parts, held = [], [], 0
    if rows:
        yield rows, parts


def _fold(sketch: npt.NDArray[np.uint32], rows: list[int], parts: list[str], width: int) -> None:
    """Let each window of the parts lower the bin that it falls into."""
    codes = np.frombuffer("".join(parts).encode("utf-32-le", "surrogatepass"), np.uint32)
    hashes = _mixed(_rolled(codes, width))
    sizes = np.fromiter(map(len, parts), np.int64, len(parts))
    slots = np.repeat(np.array(rows, np.int64) * BINS, sizes)[: len(hashes)]
    slots += (hashes >> np.uint64(58)).astype(np.int64)
    values = (hashes >> np.uint64(16)).astype(np.uint32)
    if len(parts) > 1:
        # Windows over the border of two parts belong to neither.
        inside = np.ones(len(hashes), bool)
        for end in np.cumsum(sizes)[:-1]:
            inside[max(0, end - width + 1) : end] = False
        slots, values = slots[inside], values[inside]
    np.minimum.at(sketch, slots, values)


def _dense(sketch: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Empty bins take what the first full one in their own order of asking holds."""
    filled = sketch.copy()
    rows, bins = np.nonzero(sketch == _EMPTY)
    for attempt in range(BINS):
        if not len(rows):
            break
        borrowed = sketch[rows, _PROBES[bins, attempt]]
        filled[rows, bins] = borrowed
        still = borrowed == _EMPTY
        rows, bins = rows[still], bins[still]
    return filled


def _bands(sketch: npt.NDArray[np.uint32]) -> Hashes:
    parts = sketch.reshape(len(sketch), BANDS, IN_BAND).astype(np.uint64)
    keys = parts[:, :, 0]
    for place in range(1, IN_BAND):
        keys = (keys ^ (keys >> np.uint64(31))) * _ODD[place] + parts[:, :, place]
    return _mixed(keys)


def similarity(one: Hashes, other: Hashes) -> float:
    """The share of windows that two texts have in common (Jaccard), from their hashes."""
    thin = np.uint64(max(len(one), len(other)) // COMPARED + 1)
    if thin > 1:
        one, other = one[one % thin == 0], other[other % thin == 0]
    first, second = np.unique(one), np.unique(other)
    common = len(np.intersect1d(first, second, assume_unique=True))
    return common / max(1, len(first) + len(second) - common)
