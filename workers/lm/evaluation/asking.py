"""Ask a model questions with known answers: choose one of several texts, or write the right one.

As in the language model evaluation harness of EleutherAI: of several choices the one with the
largest probability after the prompt is taken (`acc` there, `accuracy` here), or the one with the
largest logarithm of it by its bytes (`acc_norm`, `accuracy_normalised`), without which long choices
would seldom be taken. An answer that is written is right if it is the expected text, white space
around both left aside.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from workers.lm.compute.threads import use_threads
from workers.lm.data.questions import MULTIPLE_CHOICE, Question, questions
from workers.lm.durable import file_digest, flush_file
from workers.lm.errors import InvalidEvaluation, Stopped, UnusableModel
from workers.lm.evaluation.judges import Judge, judge_of
from workers.lm.evaluation.perplexity import SCORES
from workers.lm.evaluation.result import AskedResult
from workers.lm.events import Events

#: Questions whose choices go through the model together, and letters of an answer that are kept.
_AT_ONCE, _KEPT = 32, 400


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What kind of questions, and how they are put.

    `delimiter` stands between a prompt and each choice and counts as no byte of it; `max_tokens`
    and `stop` end an answer that is written.
    """

    task: str
    delimiter: str = " "
    max_tokens: int = 16
    stop: str = "\n"

    def facts(self) -> dict[str, Any]:
        """What of it matters for the task."""
        if self.task == MULTIPLE_CHOICE:
            return {"delimiter": self.delimiter}
        return {"max_tokens": self.max_tokens, "stop": self.stop}


@dataclass
class _Sums:
    questions: int = 0
    correct: int = 0
    correct_normalised: int = 0
    tokens: int = 0
    unknown: int = 0


def ask(
    model_dir: Path | str,
    files: Sequence[Path | str],
    work_dir: Path | str,
    events: Events,
    threads: int,
    asking: Asking,
    max_documents: int | None = None,
) -> AskedResult:
    """Ask the questions of `files`; a line for each one goes to a file in `work_dir`.

    Raises InvalidWork naming what cannot be asked, before any work as far as the rows alone tell;
    Stopped when asked to stop.
    """
    total = sum(1 for _one in islice(questions(files, asking.task), max_documents))
    if not total:
        raise InvalidEvaluation("dataset", "There are no questions to ask.")
    use_threads(threads)
    work = Path(work_dir)
    judge = judge_of(Path(model_dir), None)
    work.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    aside = work / f"{SCORES}.tmp"
    asked = islice(questions(files, asking.task), max_documents)
    with aside.open("w", encoding="utf-8") as out:
        sums = _Run(judge, asking, events, total).write(asked, out)
    flush_file(aside)
    scores = aside.rename(work / SCORES)
    chosen = asking.task == MULTIPLE_CHOICE
    result = AskedResult(
        documents=sums.questions, correct=sums.correct,
        correct_normalised=sums.correct_normalised if chosen else None,
        tokens=sums.tokens, unknown_tokens=sums.unknown, asking=asking.facts(),
        seconds=time.monotonic() - started, scores_file=scores, scores_sha256=file_digest(scores),
    )  # fmt: skip
    _tell(result, events)
    return result


class _Run:
    """One pass over the questions."""

    def __init__(self, judge: Judge, asking: Asking, events: Events, total: int) -> None:
        self._judge, self._asking, self._events = judge, asking, events
        self._total, self._sums, self._last = total, _Sums(), 0.0

    def write(self, asked: Iterator[Question], out: IO[str]) -> _Sums:
        """Write a line for every question and return the sums."""
        sums = self._sums
        several = self._asking.task == MULTIPLE_CHOICE
        rows: Callable[[list[Question]], Iterator[dict[str, Any]]] = (
            self._chosen if several else self._written
        )
        while some := list(islice(asked, _AT_ONCE)):
            for row in rows(some):
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
                sums.questions += 1
                sums.correct += row["correct"]
                sums.correct_normalised += row.get("correct_normalised", 0)
                sums.tokens += row["tokens"]
        return sums

    def _chosen(self, some: list[Question]) -> Iterator[dict[str, Any]]:
        between = self._asking.delimiter
        pairs = [(one.prompt, between + choice) for one in some for choice in one.choices]
        spent = iter(self._judge.continuations(pairs, self._report))
        for one in some:
            costs = list(islice(spent, len(one.choices)))
            for number, cost in enumerate(costs):
                if not cost.tokens:
                    raise InvalidEvaluation(
                        "dataset",
                        f"Choice {number} of question {one.index} ({one.choices[number][:60]!r}) "
                        "has nothing that this model's units can tell. Leave such questions out.",
                    )
                if not math.isfinite(cost.nats):
                    raise UnusableModel(f"The score of question {one.index} is not a number.")
            sizes = [len(choice.encode()) for choice in one.choices]
            nats = [cost.nats for cost in costs]
            by_length = [n / size for n, size in zip(nats, sizes, strict=True)]
            chosen, normalised = nats.index(min(nats)), by_length.index(min(by_length))
            self._sums.unknown += sum(cost.unknown for cost in costs)
            yield {
                "document": one.index, "answer": one.right, "chosen": chosen,
                "chosen_normalised": normalised, "correct": int(chosen == one.right),
                "correct_normalised": int(normalised == one.right),
                "tokens": sum(cost.tokens for cost in costs), "nats": nats, "bytes": sizes,
            }  # fmt: skip

    def _written(self, some: list[Question]) -> Iterator[dict[str, Any]]:
        for one in some:
            found = self._judge.answer(one.prompt, self._asking.max_tokens, self._asking.stop)
            self._report()
            right = found.text.strip() == one.answer.strip()
            yield {
                "document": one.index, "correct": int(right), "tokens": found.tokens,
                "answer": found.text[:_KEPT],
            }  # fmt: skip

    def _report(self) -> None:
        done = self._sums.questions
        if self._events.should_stop():
            raise Stopped(done, None)
        if time.monotonic() - self._last < 1.0:
            return
        self._last = time.monotonic()
        self._events.progress(
            step=done, total=self._total, stage="evaluating",
            percent=100.0 * done / self._total, eta_s=None,
        )  # fmt: skip


def _tell(result: AskedResult, events: Events) -> None:
    figures = {"accuracy": result.accuracy, "documents": float(result.documents)}
    if result.accuracy_normalised is not None:
        figures["accuracy_normalised"] = result.accuracy_normalised
    events.metric(0, figures)
    events.progress(
        step=result.documents, total=result.documents, stage="evaluating", percent=100.0, eta_s=0.0
    )
    events.log(
        f"Asked {result.documents:,} questions: {result.correct:,} right, accuracy "
        f"{result.accuracy:.4f}."
    )
