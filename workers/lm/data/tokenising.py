"""Turn documents into a token store, once for every pair of tokenizer and documents."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerFast

from workers.lm.data.documents import Documents, pieces
from workers.lm.data.token_store import (
    FACTS,
    OFFSETS,
    TOKENS,
    TokenStore,
    open_store,
    token_type,
)
from workers.lm.durable import file_digest, folder_published, remove_folder
from workers.lm.tokenizers.saved import end_token, tokenizer_digest

_BATCH_CHARACTERS = 1 << 20

Progress = Callable[[float], None]


def tokenise(
    files: Sequence[Path | str],
    tokenizer: PreTrainedTokenizerFast,
    scratch: Path,
    on_progress: Progress | None = None,
    by_line: bool = False,
) -> TokenStore:
    """The tokens of `files`, from the scratch folder's cache if they were made before.

    With `by_line` each line that is not empty counts as a document. `on_progress` hears the share
    done; it may raise to end the work, which leaves nothing.
    """
    documents = Documents(files)
    fingerprint = _fingerprint(documents.files, tokenizer, by_line)
    folder = scratch / "tokens" / fingerprint
    if (known := open_store(folder)) is not None:
        return known
    if folder.exists():  # damaged: what it says of itself does not hold
        remove_folder(folder)
    with folder_published(folder) as aside:
        _write(documents, tokenizer, aside, fingerprint, on_progress, by_line)
    store = open_store(folder)
    if store is None:
        raise OSError(f"The token file in {folder} changed while it was written.")
    return store


class _Writer:
    """Collects pieces of text until encoding a batch of them pays."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, folder: Path, on_flush: Callable[[], None]
    ) -> None:
        self._on_flush = on_flush
        self._backend = tokenizer.backend_tokenizer
        self._type = token_type(len(tokenizer))
        self._end = end_token(tokenizer)
        self._tokens = (folder / TOKENS).open("wb")
        self._offsets = (folder / OFFSETS).open("wb")
        self._parts: list[str] = []
        self._ends: list[bool] = []
        self._held = 0
        self.count = self.documents = self.text_bytes = 0
        np.zeros(1, np.int64).tofile(self._offsets)

    def add(self, text: str) -> None:
        self.text_bytes += len(text.encode())
        parts = list(pieces(text))
        for number, part in enumerate(parts, 1):
            self._parts.append(part)
            self._ends.append(number == len(parts))
            self._held += len(part)
            if self._held >= _BATCH_CHARACTERS:
                self.flush()

    def flush(self) -> None:
        encodings = self._backend.encode_batch_fast(self._parts, add_special_tokens=False)
        ends: list[int] = []
        arrays = []
        for encoding, is_end in zip(encodings, self._ends, strict=True):
            ids = encoding.ids
            if is_end:
                ids.append(self._end)
            self.count += len(ids)
            arrays.append(np.asarray(ids, dtype=self._type))
            if is_end:
                ends.append(self.count)
        if arrays:
            np.concatenate(arrays).tofile(self._tokens)
        np.asarray(ends, dtype=np.int64).tofile(self._offsets)
        self.documents += len(ends)
        self._parts, self._ends, self._held = [], [], 0
        self._on_flush()

    def close(self) -> None:
        self._tokens.close()
        self._offsets.close()


def _write(
    documents: Documents,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    fingerprint: str,
    on_progress: Progress | None,
    by_line: bool,
) -> None:
    def tell() -> None:
        if on_progress is not None:
            on_progress(documents.share_read)

    writer = _Writer(tokenizer, folder, tell)
    try:
        for document in documents:
            for text in lines_of(document.text) if by_line else (document.text,):
                if text:
                    writer.add(text)
        writer.flush()
    finally:
        writer.close()
    facts = {
        "fingerprint": fingerprint,
        "type": token_type(len(tokenizer)).name,
        "tokens": writer.count,
        "documents": writer.documents,
        "text_bytes": writer.text_bytes,
    }
    (folder / FACTS).write_text(json.dumps(facts))


def lines_of(text: str) -> list[str]:
    """The lines of a text that hold more than white space."""
    return [line for line in text.split("\n") if line.strip()]


def _fingerprint(files: Sequence[Path], tokenizer: PreTrainedTokenizerFast, by_line: bool) -> str:
    """What the tokens follow from: the tokenizer and the files' contents in their order."""
    digest = hashlib.sha256(b"tokens-1 by line" if by_line else b"tokens-1")
    digest.update(tokenizer_digest(tokenizer).encode())
    for file in files:
        digest.update(file.suffix.encode() + file_digest(file).encode())
    return digest.hexdigest()[:32]
