"""Score a model on documents it has not seen: perplexity, bits per byte, and each document."""

import json
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from workers.lm.compute.threads import use_threads
from workers.lm.data.documents import Document, Documents
from workers.lm.durable import file_digest, flush_file
from workers.lm.errors import InvalidEvaluation, Stopped, UnusableModel
from workers.lm.evaluation.judges import Judge, Reading, judge_of
from workers.lm.evaluation.result import EvaluationResult
from workers.lm.events import Events

SCORES = "scores.jsonl"


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

    Every token of the text counts once, the first of a document after its beginning.
    Raises InvalidEvaluation before any work, Stopped when asked to stop.
    """
    documents = Documents(files)
    if documents.total_bytes == 0:
        raise InvalidEvaluation("dataset", "There are no documents to score.")
    if max_documents is not None and max_documents < 1:
        raise InvalidEvaluation("max_documents", "Must be at least 1.")
    use_threads(threads)
    work = Path(work_dir)
    judge = judge_of(Path(model_dir), sequence_length)
    work.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    aside = work / f"{SCORES}.tmp"
    with aside.open("w", encoding="utf-8") as out:
        sums = _Run(documents, judge, events, max_documents).write(out)
    if sums.tokens == 0:
        raise InvalidEvaluation("dataset", "The documents hold no text.")
    flush_file(aside)
    scores = aside.rename(work / SCORES)
    result = EvaluationResult(
        documents=sums.documents, tokens=sums.tokens, bytes=sums.bytes, nats=sums.nats,
        unknown_tokens=sums.unknown, sequence_length=judge.length, lossless=judge.lossless,
        seconds=time.monotonic() - started, scores_file=scores, scores_sha256=file_digest(scores),
    )  # fmt: skip
    _tell(result, events)
    return result


class _Run:
    """One pass over the documents."""

    def __init__(
        self, documents: Documents, judge: Judge, events: Events, limit: int | None
    ) -> None:
        self._documents, self._limit = documents, limit
        self._judge, self._events = judge, events
        self._waiting: deque[tuple[Document, Reading]] = deque()
        self._done, self._last = 0, 0.0

    def write(self, out: IO[str]) -> _Sums:
        """Write a line for every document and return the sums."""
        sums = _Sums()
        for nats in self._judge.nats(self._readings(), self._report):
            document, reading = self._waiting.popleft()
            size = len(document.text.encode())
            if not math.isfinite(nats):
                raise UnusableModel(f"The score of document {document.index} is not a number.")
            tokens, unknown = reading.tokens, reading.unknown
            line = {"document": document.index, "tokens": tokens, "bytes": size, "nats": nats}
            out.write(json.dumps(line) + "\n")
            sums.documents += 1
            sums.tokens, sums.bytes = sums.tokens + tokens, sums.bytes + size
            sums.unknown, sums.nats = sums.unknown + unknown, sums.nats + nats
            self._done += 1
        return sums

    def _readings(self) -> Iterator[Reading]:
        for document in islice(self._documents, self._limit):
            reading = self._judge.read(document.text)
            if reading.tokens:
                self._waiting.append((document, reading))
                yield reading

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
