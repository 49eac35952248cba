"""Holds an answer to a form: which tokens may come next, by llguidance.

A form is compiled once, away from the engine's thread; each choice then carries a `Constraint`
along. The masks are those of the automaton alone, so whatever the sampler does with the rest of
the tokens, the answer has the form unless it is cut short.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .answer_format import AnswerFormat
from .errors import BadRequest, GenerationFailed
from .grammar_process import matcher_of, problem
from .line_process import LineProcess
from .spelling import Spelling

_KEPT = 128
_SECONDS = 3.0
_START_SECONDS = 20.0


class Constraint:
    """How far one choice has come in its form. Belongs to the engine's thread."""

    __slots__ = ("_matcher", "_vocabulary")

    def __init__(self, matcher: Any, vocabulary: int) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary

    def mask(self, row: torch.Tensor) -> torch.Tensor:
        """A copy of these logits in which only what may come next can be chosen.

        Raises GenerationFailed where nothing may: the model's vocabulary cannot go on.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        allowed = np.unpackbits(bits, bitorder="little", count=self._vocabulary).view(bool)
        if self._matcher.is_error() or not allowed.any():
            raise GenerationFailed(
                "The answer cannot go on in the form that was asked for.", code="format_dead_end"
            )
        closed = torch.from_numpy(~allowed).to(row.device)
        return row[: self._vocabulary].masked_fill(closed, -torch.inf)

    def accept(self, token: int) -> None:
        """This token was chosen. One that does not fit ends the answer at the next `mask`."""
        if not self._matcher.is_stopped():
            self._matcher.consume_token(token)

    def rollback(self, tokens: int) -> None:
        """Take the last tokens back."""
        self._matcher.rollback(tokens)

    @property
    def finished(self) -> bool:
        """True where the answer is complete and nothing can follow."""
        return bool(self._matcher.is_stopped()) and not self._matcher.is_error()


class Grammar:
    """A compiled form, shared by all choices that are held to it."""

    def __init__(self, matcher: Any, vocabulary: int) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary

    def start(self) -> Constraint:
        """A constraint at the beginning of an answer; from any thread."""
        return Constraint(self._matcher.deep_copy(), self._vocabulary)


class GrammarCompiler:
    """Compiles forms for one tokenizer, one at a time, and keeps the most recent ones.

    A form is tried out in a child process first, which is killed where it takes too long.
    """

    def __init__(self, spelling: Spelling, *, seconds: float = _SECONDS) -> None:
        self._spelling = spelling
        self._seconds = seconds
        self._lock = threading.Lock()
        self._trial = LineProcess(Path(__file__).with_name("grammar_process.py"))
        self._kept: OrderedDict[tuple[str, str], Grammar | str] = OrderedDict()

    def compile(self, form: AnswerFormat) -> Grammar:
        """The grammar of a form, or BadRequest that says why there is none. Takes its time."""
        key = (form.kind, form.source)
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                found = self._kept[key] = self._grammar(form)
                if len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
        if isinstance(found, str):
            raise BadRequest(
                f"'{form.param}' cannot be served: {found}",
                param=form.param,
                code="invalid_format",
            )
        return found

    def close(self) -> None:
        """End the child process."""
        with self._lock:
            self._trial.stop()

    def _grammar(self, form: AnswerFormat) -> Grammar | str:
        """The grammar, or the reason why there is none."""
        wrong = self._spelling.missing(form.kind) or self._tried(form)
        if wrong:
            return wrong
        matcher = matcher_of(self._spelling.tokenizer(), form.kind, form.source)
        wrong = problem(matcher.deep_copy())
        return wrong or Grammar(matcher, self._spelling.vocabulary)

    def _tried(self, form: AnswerFormat) -> str:
        question = {"kind": form.kind, "source": form.source}
        if not self._trial.alive:
            self._trial.start()
            # The first answer is that of a form that costs nothing: it only says that we began.
            self._trial.ask({"kind": "regex", "source": "a"}, _START_SECONDS)
        answer = self._trial.ask(question, self._seconds)
        if answer is None:
            return f"it took more than {self._seconds:g} s to prepare; make it simpler."
        return str(answer["error"])
