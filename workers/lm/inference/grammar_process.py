"""Tries a form out in a process of its own that may be killed, before the server compiles it.

Run as a script, it answers each line `{"kind", "source"}` with `{"error"}`, empty where the form
can be served. A few schemas keep the compiler busy for ever, where patterns must hold together:
those end with this process, and the server never sees them.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
from typing import Any

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

#: White space between the parts of JSON: enough to indent, too little to go on for ever.
_SPACE = r"[\x20\x0A\x0D\x09]{0,24}"
#: Overrides what a schema says of itself in "x-guidance": nothing of it is left out silently.
_JSON_OPTIONS: Any = {"whitespace_pattern": _SPACE, "lenient": False, "coerce_one_of": False}
#: A mask takes at most some tens of milliseconds, the states of a form some tens of megabytes.
LIMITS = LLParserLimits(
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=200_000,
    step_max_items=50_000,
    max_lexer_states=25_000,
    max_grammar_size=100_000,
    verbose_errors=False,
)
MEMORY_LIMIT = 2**30
#: llguidance's word for a form that nothing has.
_EMPTY = "NoExtension"


def matcher_of(tokenizer: Any, kind: str, source: str) -> Any:
    """A matcher at its beginning; `problem` says whether it can be used.

    Raises ValueError and RecursionError for JSON that is none.
    """
    return LLMatcher(tokenizer, _notation(kind, source), log_level=0, limits=LIMITS)


def problem(matcher: Any) -> str:
    """Why nothing can be answered with it, in a sentence; empty where something can.

    Some contradictions are only found when the first token is asked for.
    """
    if not matcher.is_error():
        matcher.compute_bitmask()
    if not matcher.is_error():
        return ""
    error = sentence(matcher.get_error())
    return "no answer of this model could have this form." if _EMPTY in error else error


def sentence(error: str) -> str:
    """The first lines of an error, in one."""
    lines = error.partition("<state>")[0].replace("<non-verbose/>", "").splitlines()
    return " ".join(line.strip() for line in lines if line.strip())[:400].rstrip(".") + "."


def _notation(kind: str, source: str) -> str:
    """The form as llguidance writes it."""
    if kind == "json":
        return LLMatcher.grammar_from_json_schema(source, overrides=_JSON_OPTIONS)
    if kind == "regex":
        return LLMatcher.grammar_from_regex(source)
    texts = (json.dumps(text, ensure_ascii=False) for text in json.loads(source))
    return LLMatcher.grammar_from_lark("start: " + " | ".join(texts))


class _Bytes:
    """A vocabulary of the 256 bytes: what is too much for it is too much for any."""

    eos_token_id = 256
    bos_token_id = None
    tokens = [*(bytes([byte]) for byte in range(256)), b"<end>"]
    special_token_ids = [256]

    def __call__(self, text: bytes | str) -> list[int]:
        return list(text if isinstance(text, bytes) else text.encode())


def _tried(tokenizer: Any, line: bytes) -> str:
    try:
        asked = json.loads(line)
        return problem(matcher_of(tokenizer, asked["kind"], asked["source"]))
    except MemoryError:
        return "it needs too much memory."
    except Exception as error:
        return sentence(str(error) or type(error).__name__)


def main() -> None:
    """Answers until its input ends."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    tokenizer = LLTokenizer(TokenizerWrapper(_Bytes()))
    lines, out = sys.stdin.buffer, sys.stdout.buffer
    for line in iter(lines.readline, b""):
        out.write(json.dumps({"error": _tried(tokenizer, line)}).encode() + b"\n")
        out.flush()


if __name__ == "__main__":
    main()
