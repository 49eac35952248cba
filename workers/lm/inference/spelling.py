"""How a tokenizer's tokens spell text, as llguidance must know it to hold an answer to a form."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from llguidance import LLTokenizer, TokenizerWrapper
from transformers import PreTrainedTokenizerBase

from .detokenize import REPLACEMENT, TokenText

_FRONT = "\n"
#: What JSON is written with, whatever it says.
_JSON = '{}[]":,-.0123456789truefalsn'


class Spelling:
    """The bytes of each token, found out when the first form is asked for.

    A token counts if it adds its bytes to a text wherever it stands. Special tokens, and those of
    tokenizers that put a space between words, do not: no form ever lets them through.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        decoder: TokenText,
        *,
        vocabulary: int,
        eos_ids: Iterable[int],
    ) -> None:
        self.vocabulary = vocabulary
        self.eos_ids = tuple(sorted(eos_ids))
        self._source = tokenizer
        self._decoder = decoder
        self._known = min(vocabulary, len(tokenizer))

    def tokenizer(self) -> Any:
        """The tokenizer as llguidance takes it."""
        return self._tokenizer

    def missing(self, kind: str) -> str:
        """Why this vocabulary cannot write such a form at all; empty where it can."""
        single = {piece for piece in self._pieces if len(piece) == 1}
        if not single:
            return "the model's tokens are whole words, which spell no exact form."
        lacking = [sign for sign in dict.fromkeys(_JSON) if sign.encode() not in single]
        if kind == "json" and lacking:
            return f"the model's vocabulary lacks {' '.join(lacking)}, which JSON needs."
        return ""

    @cached_property
    def _pieces(self) -> list[bytes]:
        """The bytes of each token, empty where it is not to be used."""
        special = set(self._source.all_special_ids) | set(self.eos_ids)
        pieces = [self._decoder.piece(token) for token in range(self._known)]
        anchor = self._anchor(pieces, special)
        if anchor is None:
            return [b""] * self.vocabulary
        before = self._decoder.decode([anchor])
        for token, piece in enumerate(pieces):
            if token in special or not self._adds(anchor, before, token, piece):
                pieces[token] = b""
        return pieces + [b""] * (self.vocabulary - self._known)

    def _anchor(self, pieces: list[bytes], special: set[int]) -> int | None:
        """A token to stand in front of others: text by itself, and rather no single byte, which
        some tokenizers only show together with its neighbours."""
        plain = (
            token
            for token, piece in enumerate(pieces)
            if token not in special and piece.isalnum() and piece.isascii()
        )
        return max(plain, key=lambda token: len(pieces[token]), default=None)

    def _adds(self, anchor: int, before: str, token: int, piece: bytes) -> bool:
        text = self._decoder.decode([anchor, token])
        try:
            return text == before + piece.decode("utf-8")
        except UnicodeDecodeError:
            # A part of a character: shown as such until the rest follows.
            return text.startswith(before + REPLACEMENT)

    @cached_property
    def _tokenizer(self) -> Any:
        wrapped = TokenizerWrapper(_Vocabulary(self))
        ends = list(self.eos_ids) or [self.vocabulary]
        return LLTokenizer(wrapped, n_vocab=len(wrapped.tokens), eos_token=ends)

    def encode(self, text: bytes) -> list[int]:
        """Tokens that spell exactly this: as the tokenizer cuts it, where that keeps every byte.

        Some tokenizers put a space in front of a text, so it is also cut behind another one.
        """
        plain = text.decode("utf-8", "replace")
        ids = self._cut(plain)
        if self._spelled(ids) == text:
            return ids
        ids = self._cut(_FRONT + plain)
        for at in range(len(ids)):
            if self._spelled(ids[at:]) == text:
                return ids[at:]
        return self._greedy(text)

    def _cut(self, text: str) -> list[int]:
        core: Any = getattr(self._source, "backend_tokenizer", None)
        if core is not None:
            return list(core.encode(text, add_special_tokens=False).ids)
        return list(self._source.encode(text, add_special_tokens=False))

    def _spelled(self, ids: list[int]) -> bytes:
        return b"".join(self._pieces[token] for token in ids)

    def _greedy(self, text: bytes) -> list[int]:
        """The longest token at each place; what no token spells ends it."""
        ids, at = [], 0
        while at < len(text):
            sizes = range(min(self._longest, len(text) - at), 0, -1)
            found = next((text[at : at + n] for n in sizes if text[at : at + n] in self._ids), b"")
            if not found:
                break
            ids.append(self._ids[found])
            at += len(found)
        return ids

    @cached_property
    def _ids(self) -> dict[bytes, int]:
        return {piece: number for number, piece in enumerate(self._pieces) if piece}

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._ids), default=1)


class _Vocabulary:
    """What `TokenizerWrapper` asks for."""

    def __init__(self, spelling: Spelling) -> None:
        pieces = spelling._pieces
        self.bos_token_id = None
        # llguidance wants an end even where the model has none: one more token, never let through.
        self.eos_token_id = min(spelling.eos_ids, default=spelling.vocabulary)
        if not spelling.eos_ids:
            pieces = [*pieces, b""]
        self.tokens = [piece or b"\xff<%d>" % number for number, piece in enumerate(pieces)]
        self.special_token_ids = [number for number, piece in enumerate(pieces) if not piece]
        self._spelling = spelling

    def __call__(self, text: bytes | str) -> list[int]:
        return self._spelling.encode(text if isinstance(text, bytes) else text.encode())
