"""The tokens of a set of documents as one memory-mapped array on disk."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

TOKENS, OFFSETS, FACTS = "tokens.bin", "offsets.bin", "facts.json"
#: One byte for each token: 1 if it is learned, 0 if it is only read.
COUNTED = "counted.bin"
_SCAN = 1 << 22


@dataclass(frozen=True)
class TokenStore:
    """All documents one after the other, each closed by the end-of-text token."""

    tokens: npt.NDArray[Any]
    offsets: npt.NDArray[np.int64]
    fingerprint: str
    text_bytes: int
    #: Beside `tokens`: 1 where a token is part of an answer. None where every token counts.
    counted: npt.NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return len(self.offsets) - 1

    def document(self, index: int) -> npt.NDArray[Any]:
        """The tokens of one document with its end-of-text token."""
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    def counts(self, vocab_size: int) -> npt.NDArray[np.int64]:
        """How often each token occurs."""
        total = np.zeros(vocab_size, dtype=np.int64)
        for start in range(0, len(self.tokens), _SCAN):
            part = np.asarray(self.tokens[start : start + _SCAN], dtype=np.int64)
            total += np.bincount(part, minlength=vocab_size)
        return total

    def unigram_entropy(self, vocab_size: int) -> float:
        """Nats per token of a model that knows only how frequent each token is here."""
        counts = self.counts(vocab_size) if self.counted is None else self._answers(vocab_size)
        shares = counts[counts > 0] / max(1, int(counts.sum()))
        return max(0.0, -math.fsum(shares * np.log(shares)))

    def _answers(self, vocab_size: int) -> npt.NDArray[np.int64]:
        """How often each token occurs in answers."""
        assert self.counted is not None
        total = np.zeros(vocab_size, dtype=np.int64)
        for start in range(0, len(self.tokens), _SCAN):
            part = np.asarray(self.tokens[start : start + _SCAN], dtype=np.int64)
            learned = np.asarray(self.counted[start : start + _SCAN], dtype=bool)
            total += np.bincount(part[learned], minlength=vocab_size)
        return total


def token_type(vocab_size: int) -> np.dtype[Any]:
    """The smallest unsigned type that holds every token."""
    return np.dtype(np.uint16 if vocab_size <= 65_536 else np.uint32)


def open_store(folder: Path) -> TokenStore | None:
    """Open a published folder; None if it is absent or not what its facts say."""
    try:
        facts = json.loads((folder / FACTS).read_text())
        tokens_size = (folder / TOKENS).stat().st_size
        offsets_size = (folder / OFFSETS).stat().st_size
        kind = np.dtype(facts["type"])
        count, documents = int(facts["tokens"]), int(facts["documents"])
        if tokens_size != count * kind.itemsize or offsets_size != 8 * (documents + 1):
            return None
        tokens: npt.NDArray[Any] = (
            np.memmap(folder / TOKENS, dtype=kind, mode="r") if count else np.zeros(0, kind)
        )
        offsets = np.fromfile(folder / OFFSETS, dtype=np.int64)
        counted = _open_counted(folder, count) if facts.get("answers") else None
        return TokenStore(
            tokens, offsets, str(facts["fingerprint"]), int(facts["text_bytes"]), counted
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _open_counted(folder: Path, count: int) -> npt.NDArray[np.uint8]:
    """The bytes beside the tokens; raises ValueError if there are not as many of them."""
    if (folder / COUNTED).stat().st_size != count:
        raise ValueError(f"{COUNTED} does not fit {TOKENS}")
    if not count:
        return np.zeros(0, np.uint8)
    return np.memmap(folder / COUNTED, dtype=np.uint8, mode="r")
