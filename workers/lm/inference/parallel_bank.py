"""Adapters of a model that several processes hold together: each has its part of every factor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .lora import Adapter, AdapterBank

if TYPE_CHECKING:
    from .parallel import Ranks


@dataclass(frozen=True)
class PartOfAdapter:
    """The leader's part, and the folder from which the others read theirs."""

    folder: Path
    own: Adapter


class ParallelBank:
    """The leader's bank, whose every change the other processes make too; a `lora.AdapterBank`.

    They change between the same two steps, and all at once: in each step the factors that lie side
    by side are the same everywhere, as the exchanges inside the layers need them.
    """

    def __init__(self, bank: AdapterBank, ranks: Ranks) -> None:
        self._bank, self._ranks = bank, ranks
        self._told = False

    @property
    def bytes(self) -> int:
        """Memory of the leader's part of all factors."""
        return self._bank.bytes

    def read(self, folder: Path) -> PartOfAdapter:
        """From its folder, checked against the base. On any thread."""
        return PartOfAdapter(folder, self._bank.read(folder))

    def put(self, key: str, adapter: PartOfAdapter) -> Iterator[None]:
        """Beside the others, in one piece. Raises RankLost."""
        self._ranks.tell("part", "put_adapter", key, adapter.folder)
        for _ in self._bank.put(key, adapter.own):
            pass
        yield

    def drop(self, key: str) -> Iterator[None]:
        """Away with it, in one piece. No row may have it any more."""
        self._ranks.tell("part", "drop_adapter", key)
        for _ in self._bank.drop(key):
            pass
        yield

    def begin(self, spans: list[tuple[str, int]]) -> None:
        """Say whose the rows of the next forward pass are: (adapter or "", how many), in order."""
        self._told = any(key for key, _ in spans)
        if self._told:
            self._ranks.tell("part", "begin_adapters", spans)
        self._bank.begin(spans)

    def end(self) -> None:
        """The forward pass is over."""
        if self._told:
            self._ranks.tell("part", "end_adapters")
            self._told = False
        self._bank.end()
