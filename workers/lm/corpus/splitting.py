"""Where a document goes: decided by its text and the seed alone, so that it stays there when the
data around it change.
"""

import hashlib

_RANGE = float(1 << 53)


def split_of(digest: bytes, seed: int) -> float:
    """A number from 0 up to 1, evenly spread; below the fraction a document is held out."""
    drawn = hashlib.sha256(seed.to_bytes(16, "big") + digest).digest()
    return (int.from_bytes(drawn[:8], "big") >> 11) / _RANGE
