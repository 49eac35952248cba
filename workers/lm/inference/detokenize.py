"""Token ids to text and bytes, one token at a time, whole characters only."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

REPLACEMENT = "\ufffd"
_CONTEXT = 6  # prompt tokens shown to the decoder, so that a leading space survives
_LONGEST_WINDOW = 64  # tokens without any text (special ones) must not grow it for ever
_OPEN = 3  # a character of four bytes leaves at most three replacement marks behind


class TokenText(Protocol):
    """What the engine needs from a tokenizer."""

    def decode(self, ids: list[int]) -> str:
        """Text of these tokens, special tokens left out."""
        ...

    def piece(self, token_id: int) -> bytes:
        """The bytes that one token stands for."""
        ...


class IncrementalText:
    """Turns a growing list of tokens into text that is never taken back.

    Only a short window is decoded for each token. Bytes that may still become a character
    are held; bytes that cannot come out as U+FFFD.
    """

    def __init__(self, decoder: TokenText, prompt: list[int]) -> None:
        self._decoder = decoder
        self._window = list(prompt[-_CONTEXT:])
        self._base = decoder.decode(self._window) if self._window else ""
        self._read = len(self._window)
        self._sent = len(self._base)

    def feed(self, token_id: int) -> str:
        """Add a token; return the text that is certain now."""
        self._window.append(token_id)
        text = self._decoder.decode(self._window)
        stable = len(text) - _open_marks(text)
        if stable < self._sent:
            return ""
        delta = text[self._sent : stable]
        self._sent = stable
        if stable == len(text) and (delta or len(self._window) > _LONGEST_WINDOW):
            self._slide()
        return delta

    def flush(self) -> str:
        """The text has ended: what is still open will not become a character."""
        return self._decoder.decode(self._window)[self._sent :]

    def _slide(self) -> None:
        """Keep the last closed piece as context, forget what came before."""
        self._window = self._window[self._read :] or self._window
        self._read = len(self._window)
        self._sent = len(self._decoder.decode(self._window))


def _open_marks(text: str) -> int:
    """How many replacement marks at the end may still turn into a character."""
    count = 0
    while count < _OPEN and count < len(text) and text[-1 - count] == REPLACEMENT:
        count += 1
    return count


class TokenizerText:
    """`TokenText` over a transformers tokenizer, fast or slow.

    A fast tokenizer's Rust core is called directly: decoding then takes no Python lock
    that a request being tokenized could hold.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._core: Any = getattr(tokenizer, "backend_tokenizer", None)
        self._byte_level = _is_byte_level(self._core)
        self.piece = lru_cache(maxsize=65536)(self._piece)  # type: ignore[method-assign]

    def decode(self, ids: list[int]) -> str:
        """Text of these tokens, special tokens left out."""
        if self._core is not None:
            return str(self._core.decode(ids, skip_special_tokens=True))
        text = self._tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text)

    def piece(self, token_id: int) -> bytes:  # replaced by a cached `_piece` in __init__
        """The bytes that one token stands for."""
        return self._piece(token_id)

    def _piece(self, token_id: int) -> bytes:
        token = self._tokenizer.convert_ids_to_tokens(token_id)
        if not isinstance(token, str):
            return b""
        if self._byte_level and all(char in _BYTE_OF for char in token):
            return bytes(_BYTE_OF[char] for char in token)
        if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            try:
                return bytes([int(token[3:5], 16)])
            except ValueError:
                pass
        return token.replace("\u2581", " ").encode("utf-8", "replace")


def _is_byte_level(core: Any) -> bool:
    if core is None:
        return False
    decoder = json.loads(core.to_str()).get("decoder")
    return '"ByteLevel"' in json.dumps(decoder)


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's table of printable characters that stand for the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(byte): byte for byte in plain}
    others = (byte for byte in range(256) if byte not in set(plain))
    table.update({chr(256 + index): byte for index, byte in enumerate(others)})
    return table


_BYTE_OF = _byte_alphabet()
