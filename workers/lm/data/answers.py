"""Turn conversations into a token store that knows which tokens belong to answers."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerFast

from workers.lm.data.conversations import BadConversation, Writer, Written, template_of
from workers.lm.data.documents import DocumentRow, Documents, clean
from workers.lm.data.token_store import (
    COUNTED,
    FACTS,
    OFFSETS,
    TOKENS,
    TokenStore,
    open_store,
    token_type,
)
from workers.lm.durable import file_digest, folder_published, remove_folder
from workers.lm.errors import InvalidTraining
from workers.lm.tokenizers.saved import end_token, tokenizer_digest

Progress = Callable[[float], None]
_AT_ONCE = 256


def tokenise_answers(
    files: Sequence[Path | str],
    tokenizer: PreTrainedTokenizerFast,
    scratch: Path,
    on_progress: Progress | None = None,
) -> TokenStore:
    """The tokens of the conversations in `files`, marked where assistants speak.

    Rows without `messages` hold no answer and are left out. Raises InvalidTraining where nothing
    remains, and InvalidWork naming the row that is no proper conversation.
    """
    documents = Documents(files)
    fingerprint = _fingerprint(documents.files, tokenizer)
    folder = scratch / "tokens" / fingerprint
    store = open_store(folder)
    if store is None:
        if folder.exists():  # damaged: what it says of itself does not hold
            remove_folder(folder)
        with folder_published(folder) as aside:
            _write(documents, tokenizer, aside, fingerprint, on_progress)
        store = open_store(folder)
    if store is None:
        raise OSError(f"The token file in {folder} changed while it was written.")
    if not store.documents:
        raise InvalidTraining(
            "loss_on",
            "The dataset holds no answers: no row has messages. Choose all, or a dataset of "
            "conversations.",
        )
    assert store.counted is not None
    if not store.counted.any():
        raise InvalidTraining(
            "loss_on",
            "The dataset holds no answers: in its conversations no assistant says anything.",
        )
    return store


@dataclass(slots=True)
class _Totals:
    tokens: int = 0
    documents: int = 0
    text_bytes: int = 0


def _write(
    documents: Documents,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    fingerprint: str,
    on_progress: Progress | None,
) -> None:
    sums = _Totals()
    with (
        Writer(tokenizer) as writer,
        (folder / TOKENS).open("wb") as tokens,
        (folder / COUNTED).open("wb") as counted,
        (folder / OFFSETS).open("wb") as offsets,
    ):
        np.zeros(1, np.int64).tofile(offsets)
        held: list[Written] = []

        def flush() -> None:
            for ids, learned in _encode(tokenizer, held):
                ids.tofile(tokens)
                learned.tofile(counted)
                sums.tokens += len(ids)
                np.asarray([sums.tokens], np.int64).tofile(offsets)
            sums.documents += len(held)
            sums.text_bytes += sum(len(one.text.encode()) for one in held)
            held.clear()
            if on_progress is not None:
                on_progress(documents.share_read)

        for row in documents.rows():
            written = _written(writer, row)
            if written is not None:
                held.append(written)
            if len(held) >= _AT_ONCE:
                flush()
        flush()
    facts = {
        "fingerprint": fingerprint,
        "type": token_type(len(tokenizer)).name,
        "tokens": sums.tokens,
        "documents": sums.documents,
        "text_bytes": sums.text_bytes,
        "answers": True,
    }
    (folder / FACTS).write_text(json.dumps(facts))


def _written(writer: Writer, row: DocumentRow) -> Written | None:
    """A row as text; None where it is no conversation."""
    record = row.record()
    messages = record.get("messages") if isinstance(record, dict) else None
    if not isinstance(messages, list) or isinstance(record.get("text"), str):
        return None
    if b"\\u" in row.line:
        messages = json.loads(clean(json.dumps(messages, ensure_ascii=False)))
    try:
        return writer.write(messages) if messages else None
    except BadConversation as error:
        raise row.refused(str(error)) from error


def _encode(
    tokenizer: PreTrainedTokenizerFast, held: Sequence[Written]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Token ids of each text with their marks, each closed by the end-of-text token.

    A token counts if it begins within an answer: one that runs over from the question into the
    answer could not have been given by a model that was asked.
    """
    end, kind = end_token(tokenizer), token_type(len(tokenizer))
    texts = [one.text for one in held]
    found = []
    for one, encoding in zip(
        held, tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False), strict=True
    ):
        ids = np.asarray(encoding.ids, dtype=kind)
        begins = np.asarray([start for start, _ in encoding.offsets], dtype=np.int64)
        learned = np.zeros(len(ids), dtype=np.uint8)
        for start, stop in one.answers:
            learned[(begins >= start) & (begins < stop)] = 1
        if not len(ids) or ids[-1] != end:
            last = bool(one.answers) and not one.closed
            ids = np.append(ids, np.asarray([end], dtype=kind))
            learned = np.append(learned, np.uint8(last))
        found.append((ids, learned))
    return found


def _fingerprint(files: Sequence[Path], tokenizer: PreTrainedTokenizerFast) -> str:
    """What tokens and marks follow from: tokenizer, template, and the files in their order."""
    digest = hashlib.sha256(b"answers-1")
    digest.update(tokenizer_digest(tokenizer).encode())
    digest.update(hashlib.sha256(template_of(tokenizer).encode()).digest())
    for file in files:
        digest.update(file.suffix.encode() + file_digest(file).encode())
    return digest.hexdigest()[:32]
