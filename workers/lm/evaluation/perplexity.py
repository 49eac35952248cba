"""Score a model on documents it has not seen: perplexity, bits per byte, and each document."""

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from workers.lm.compute.devices import best_device
from workers.lm.compute.threads import use_threads
from workers.lm.data.documents import Document, Documents, pieces
from workers.lm.durable import file_digest, flush_file
from workers.lm.errors import InvalidEvaluation, Stopped, UnusableModel
from workers.lm.evaluation.result import EvaluationResult
from workers.lm.evaluation.scoring import Scorer
from workers.lm.events import Events
from workers.lm.families.transformer import context_of, move
from workers.lm.formats.merged import load_version, tokenizer_folder
from workers.lm.tokenizers.saved import end_token, load_tokenizer

SCORES = "scores.jsonl"
_UNLIMITED_CONTEXT = 2048


@dataclass
class _Sums:
    documents: int = 0
    tokens: int = 0
    bytes: int = 0
    unknown: int = 0
    nats: float = 0.0


def evaluate(
    model_dir: Path | str,
    files: Sequence[Path | str],
    work_dir: Path | str,
    events: Events,
    threads: int,
    max_documents: int | None = None,
    sequence_length: int | None = None,
) -> EvaluationResult:
    """Score the documents of `files`; the scores of each one go to a file in `work_dir`.

    Every token of the text counts once, the first of a document after an end-of-text token.
    Raises InvalidEvaluation before any work, Stopped when asked to stop.
    """
    documents = Documents(files)
    if documents.total_bytes == 0:
        raise InvalidEvaluation("dataset", "There are no documents to score.")
    if max_documents is not None and max_documents < 1:
        raise InvalidEvaluation("max_documents", "Must be at least 1.")
    use_threads(threads)
    folder, work = Path(model_dir), Path(work_dir)
    tokenizer, model = load_tokenizer(tokenizer_folder(folder)), load_version(folder)
    if model.config.get_text_config().vocab_size < len(tokenizer):
        raise UnusableModel("The tokenizer knows more tokens than the model.")
    length = _length(context_of(model.config), sequence_length)
    move(model, best_device())
    work.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    aside = work / f"{SCORES}.tmp"
    with aside.open("w", encoding="utf-8") as out:
        sums = _Run(documents, tokenizer, model, length, events, max_documents).write(out)
    if sums.tokens == 0:
        raise InvalidEvaluation("dataset", "The documents hold no text.")
    flush_file(aside)
    scores = aside.rename(work / SCORES)
    result = EvaluationResult(
        documents=sums.documents, tokens=sums.tokens, bytes=sums.bytes, nats=sums.nats,
        unknown_tokens=sums.unknown, sequence_length=length,
        seconds=time.monotonic() - started, scores_file=scores, scores_sha256=file_digest(scores),
    )  # fmt: skip
    _tell(result, events)
    return result


def _length(context: int | None, asked: int | None) -> int:
    longest = context or _UNLIMITED_CONTEXT
    if asked is None:
        return min(longest, _UNLIMITED_CONTEXT)
    if not 2 <= asked <= longest:
        raise InvalidEvaluation(
            "sequence_length", f"Must lie between 2 and the model's context of {longest:,} tokens."
        )
    return asked


class _Run:
    """One pass over the documents."""

    def __init__(
        self,
        documents: Documents,
        tokenizer: PreTrainedTokenizerFast,
        model: PreTrainedModel,
        length: int,
        events: Events,
        limit: int | None,
    ) -> None:
        self._documents, self._limit = documents, limit
        self._backend = tokenizer.backend_tokenizer
        self._end, self._unknown = end_token(tokenizer), tokenizer.unk_token_id
        self._scorer, self._events = Scorer(model, length, self._report), events
        self._waiting: list[tuple[Document, int, int]] = []
        self._done, self._last = 0, 0.0

    def write(self, out: IO[str]) -> _Sums:
        """Write a line for every document and return the sums."""
        sums = _Sums()
        for nats in self._scorer.score(self._encoded()):
            document, tokens, unknown = self._waiting[0]
            del self._waiting[0]
            size = len(document.text.encode())
            if not math.isfinite(nats):
                raise UnusableModel(f"The score of document {document.index} is not a number.")
            line = {"document": document.index, "tokens": tokens, "bytes": size, "nats": nats}
            out.write(json.dumps(line) + "\n")
            sums.documents += 1
            sums.tokens, sums.bytes = sums.tokens + tokens, sums.bytes + size
            sums.unknown, sums.nats = sums.unknown + unknown, sums.nats + nats
            self._done += 1
        return sums

    def _encoded(self) -> Iterator[list[int]]:
        for document in islice(self._documents, self._limit):
            ids = [self._end]
            parts = list(pieces(document.text))
            for encoding in self._backend.encode_batch_fast(parts, add_special_tokens=False):
                ids.extend(encoding.ids)
            if len(ids) == 1:
                continue
            unknown = ids.count(self._unknown) if self._unknown is not None else 0
            self._waiting.append((document, len(ids) - 1, unknown))
            yield ids

    def _report(self) -> None:
        done = self._done
        if self._events.should_stop():
            raise Stopped(done, None)
        if time.monotonic() - self._last < 1.0:
            return
        self._last = time.monotonic()
        share = done / self._limit if self._limit else 0.0
        share = max(share, self._documents.share_read)
        self._events.progress(
            step=done, total=self._limit or 0, stage="evaluating",
            percent=100.0 * min(1.0, share), eta_s=None,
        )  # fmt: skip


def _tell(result: EvaluationResult, events: Events) -> None:
    events.metric(
        0,
        {
            "perplexity": result.perplexity,
            "bits_per_byte": result.bits_per_byte,
            "nats_per_token": result.nats_per_token,
            "documents": float(result.documents),
            "tokens": float(result.tokens),
        },
    )
    events.progress(
        step=result.documents, total=result.documents, stage="evaluating", percent=100.0, eta_s=0.0
    )
    events.log(
        f"Scored {result.documents:,} documents, {result.tokens:,} tokens: perplexity "
        f"{result.perplexity:,.3f}, {result.bits_per_byte:.4f} bits per byte."
    )
