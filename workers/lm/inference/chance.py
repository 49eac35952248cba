"""Random numbers that depend on where they are used, and on nothing that happened before."""

from __future__ import annotations

import hashlib
import secrets

_BITS = 53


def fresh_seed() -> int:
    """A seed for a request that names none."""
    return secrets.randbits(63)


def uniform(seed: int, stream: int, position: int) -> float:
    """The number in [0, 1) of one place of one choice.

    The same on every machine and whatever was drawn before it, so that an answer that another
    replica goes on with draws what the first one would have drawn, and a guessed token can be
    checked before the one in front of it is told.
    """
    place = b"%d:%d:%d" % (seed, stream, position)
    number = int.from_bytes(hashlib.blake2b(place, digest_size=8).digest(), "big")
    return (number >> (64 - _BITS)) / (1 << _BITS)
