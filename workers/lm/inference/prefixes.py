"""Beginnings of prompts that were computed before: kept in blocks, found by a chain of hashes."""

from __future__ import annotations

import hashlib
import secrets
from array import array
from collections import OrderedDict
from typing import Protocol

from .sequence import Sequence

#: Tokens of a block: what is shared is a whole number of these.
BLOCK = 32
_KEY_BYTES = 16


class BlockStore(Protocol):
    """Keys and values of blocks, beside the slots that sequences run in."""

    blocks: int
    #: Tokens of a block.
    size: int

    def save(self, slot: int, first: int, blocks: list[int]) -> None:
        """Copy from a slot: its positions from `first` on into these blocks, in order."""
        ...

    def load(self, slot: int, blocks: list[int]) -> None:
        """Copy these blocks to the beginning of a slot."""
        ...


class PrefixCache:
    """Which blocks hold what, for the engine's thread alone.

    A key stands for all tokens from the beginning, the tenant and the adapter: what one tenant has
    computed is never found by another, not even by how long it takes. A block is forgotten when
    room is needed and nobody has asked for longer for any other; those in front of it in a chain
    count as asked for later, so that no block is left that cannot be reached. Running sequences
    work on copies: nothing here is ever in use, and forgetting it harms nobody.
    """

    def __init__(self, store: BlockStore) -> None:
        self._store = store
        self._size = store.size
        self._free = list(range(store.blocks))
        self._places: OrderedDict[bytes, int] = OrderedDict()
        #: A key of this process: nobody can construct tokens that collide.
        self._secret = secrets.token_bytes(16)
        self.hit_tokens = 0

    @property
    def total(self) -> int:
        """Blocks there are."""
        return self._store.blocks

    @property
    def free(self) -> int:
        """Blocks that hold nothing."""
        return len(self._free)

    def begin(self, sequence: Sequence, slot: int) -> int:
        """Put what is known of a sequence's beginning into its slot; how many positions that is.

        At least one token is left to compute, for what follows needs its logits.
        """
        keys = self._keys(sequence, (len(sequence.source) - 1) // self._size)
        known = []
        for key in keys:
            place = self._places.get(key)
            if place is None:
                break
            known.append(place)
        if not known:
            return 0
        self._store.load(slot, known)
        self._touch(keys[: len(known)])
        sequence.saved_blocks = len(known)
        self.hit_tokens += len(known) * self._size
        return len(known) * self._size

    def keep(self, sequence: Sequence, slot: int) -> None:
        """Save the whole blocks that have been computed since the last time."""
        whole = sequence.computed // self._size
        if whole <= sequence.saved_blocks:
            return
        keys = self._keys(sequence, whole)
        self._touch(keys)
        fresh = self._new_places(keys, sequence.saved_blocks)
        if fresh:
            for index, place in fresh:
                self._places[keys[index]] = place
            self._copy(slot, fresh)
        self._touch(keys)
        sequence.saved_blocks = whole

    def forget(self, sequence: Sequence) -> None:
        """Nothing of this sequence may be used again: its numbers are not finite."""
        for key in sequence.block_keys:
            place = self._places.pop(key, None)
            if place is not None:
                self._free.append(place)

    def _new_places(self, keys: list[bytes], at: int) -> list[tuple[int, int]]:
        own, fresh = set(keys), []
        for index in range(at, len(keys)):
            if keys[index] in self._places:
                continue
            if not self._free:
                oldest = next(iter(self._places), None)
                if oldest is None or oldest in own:
                    break  # this one prompt fills the whole store
                self._free.append(self._places.pop(oldest))
            fresh.append((index, self._free.pop()))
        return fresh

    def _copy(self, slot: int, fresh: list[tuple[int, int]]) -> None:
        """In runs of neighbours: a block that is known already may lie between new ones."""
        run: list[int] = []
        first = fresh[0][0]
        for index, place in fresh:
            if index != first + len(run):
                self._store.save(slot, first * self._size, run)
                first, run = index, []
            run.append(place)
        self._store.save(slot, first * self._size, run)

    def _touch(self, keys: list[bytes]) -> None:
        """Those that are known count as asked for now, the first of the chain last of all."""
        for key in reversed(keys):
            if key in self._places:
                self._places.move_to_end(key)

    def _keys(self, sequence: Sequence, count: int) -> list[bytes]:
        """Keys of the first blocks of what the sequence has said and been asked."""
        keys = sequence.block_keys
        if len(keys) < count:
            tokens = sequence.source
            if count * self._size > len(tokens):
                tokens = sequence.prompt + sequence.tokens
            for index in range(len(keys), count):
                above = keys[-1] if keys else self._root(sequence)
                block = array("q", tokens[index * self._size : (index + 1) * self._size]).tobytes()
                keys.append(self._hash(above + block))
        return keys[:count]

    def _root(self, sequence: Sequence) -> bytes:
        tenant, adapter = sequence.tenant.encode(), sequence.adapter.encode()
        return self._hash(b"%d:%b%b" % (len(tenant), tenant, adapter))

    def _hash(self, data: bytes) -> bytes:
        return hashlib.blake2b(data, digest_size=_KEY_BYTES, key=self._secret).digest()
