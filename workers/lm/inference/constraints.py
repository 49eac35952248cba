"""Holds an answer to a form: which tokens may come next, by llguidance.

A form is compiled once, away from the engine's thread; each choice then carries a `Constraint`
along. The masks are those of the automaton alone, so whatever the sampler does with the rest of
the tokens, the answer has the form unless it is cut short.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from llguidance import LLMatcher, LLParserLimits

from .answer_format import AnswerFormat
from .errors import BadRequest, GenerationFailed
from .spelling import Spelling

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEPT = 128
#: White space between the parts of JSON: enough to indent, too little to go on for ever.
_SPACE = r"[\x20\x0A\x0D\x09]{0,24}"
#: Overrides what a schema says of itself in "x-guidance": nothing of it is left out silently.
_JSON_OPTIONS = {"whitespace_pattern": _SPACE, "lenient": False, "coerce_one_of": False}
# Compiling takes at most some hundred milliseconds with these, a mask some tens, and the states of
# one grammar some tens of megabytes.
_LIMITS = LLParserLimits(
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=200_000,
    step_max_items=50_000,
    max_lexer_states=25_000,
    max_grammar_size=100_000,
    verbose_errors=False,
)


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
    """Compiles forms for one tokenizer, one at a time, and keeps the most recent ones."""

    def __init__(self, spelling: Spelling) -> None:
        self._spelling = spelling
        self._lock = threading.Lock()
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

    def _grammar(self, form: AnswerFormat) -> Grammar | str:
        """The grammar, or the reason why there is none."""
        missing = self._spelling.missing(form.kind)
        if missing:
            return missing
        tokenizer = self._spelling.tokenizer()
        try:
            source = _source(form)
        except (ValueError, RecursionError) as error:
            return _sentence(str(error))
        matcher = LLMatcher(tokenizer, source, log_level=0, limits=_LIMITS)
        if matcher.is_error():
            return _sentence(matcher.get_error())
        grammar = Grammar(matcher, self._spelling.vocabulary)
        return self._why_empty(matcher.deep_copy()) or grammar

    def _why_empty(self, matcher: Any) -> str:
        """Some contradictions are only found when the first token is asked for."""
        bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
        allowed = np.unpackbits(bits, bitorder="little", count=self._spelling.vocabulary)
        for token in self._spelling.eos_ids:
            allowed[token] = 0
        if allowed.any():
            return ""
        if matcher.stop_reason().startswith("NoExtension"):
            return "no answer of this model could have this form."
        return _sentence(matcher.get_error())


def _source(form: AnswerFormat) -> str:
    """The grammar in llguidance's own notation."""
    if form.kind == "json":
        return LLMatcher.grammar_from_json_schema(form.source, overrides=_JSON_OPTIONS)
    if form.kind == "regex":
        return LLMatcher.grammar_from_regex(form.source)
    if form.kind == "grammar":
        return LLMatcher.grammar_from_lark(form.source)
    return LLMatcher.grammar_from_lark(_alternatives(json.loads(form.source)))


def _alternatives(texts: Iterable[str]) -> str:
    return "start: " + " | ".join(json.dumps(text, ensure_ascii=False) for text in texts)


def _sentence(error: str) -> str:
    """The first lines of an error, in one."""
    lines = [line.strip() for line in error.partition("<state>")[0].replace("<non-verbose/>", "").splitlines() if line.strip()]
    return " ".join(lines)[:400].rstrip(".") + "."
