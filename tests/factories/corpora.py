"""Stored documents with planted defects, made from words that no two documents share in order."""

import hashlib
import json
import random
from collections.abc import Iterable
from pathlib import Path

from workers.lm.corpus.stored import Shard

_CHANCE = random.Random(7)
WORDS = ["".join(_CHANCE.choices("abcdefghijklmnoprstuvw", k=4 + n % 6)) for n in range(3000)]


def texts(count: int, seed: int = 1, words: int = 40) -> list[str]:
    """Documents that have nothing in common."""
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=words)) for _ in range(count)]


def nearly(text: str) -> str:
    """The same with its last word changed."""
    return f"{text.rsplit(' ', 1)[0]} changed"


def lines_of(documents: Iterable[str]) -> list[str]:
    """As rows of a shard."""
    return [json.dumps({"text": text}, ensure_ascii=False) for text in documents]


def shard(folder: Path, split: str, lines: Iterable[str], number: int = 0) -> Shard:
    """A shard of these rows with its right digest."""
    path = folder / split / f"{number:05}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(data)
    return Shard(split=split, path=path, sha256=hashlib.sha256(data).hexdigest())


class Silent:
    """Events that nobody hears."""

    stop = False

    def log(self, text: str, level: str = "info") -> None: ...

    def progress(self, **values: object) -> None: ...

    def should_stop(self) -> bool:
        return self.stop
