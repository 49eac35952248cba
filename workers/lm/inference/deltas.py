"""What one sampled token changes in a sequence, and what its reader is told."""

from __future__ import annotations

from collections.abc import Iterable

from .events import Delta, TokenScore
from .sampler import Choice
from .sequence import Sequence


def extend(
    sequence: Sequence, choice: Choice, eos_ids: frozenset[int], context_length: int
) -> Delta:
    """Append a sampled token; the delta says what became visible and whether this was the last.

    With `max_tokens` 0 only the prompt's scores were wanted: the token is dropped.
    """
    token, score = choice
    prompt_scores, sequence.prompt_scores = tuple(sequence.prompt_scores), []
    if sequence.params.max_tokens == 0:
        return Delta(sequence.choice, "", 0, (), prompt_scores, "length")
    sequence.take(token)
    text, scores, finish = _shown(sequence, token, score, eos_ids, context_length)
    return Delta(
        sequence.choice, text, len(sequence.tokens), scores, prompt_scores, finish, (token,)
    )


def replay(
    sequence: Sequence, prior: Iterable[int], eos_ids: frozenset[int], context_length: int
) -> None:
    """Bring a new sequence to where its reader is; what these tokens showed is not told again.

    Where the answer was over with them, the sequence's `finish` says how.
    """
    for token in prior:
        sequence.take(token)
        _, _, sequence.finish = _shown(sequence, token, None, eos_ids, context_length)
        if sequence.finish is not None:
            break
    sequence.source = sequence.prompt + sequence.tokens


def _shown(
    sequence: Sequence,
    token: int,
    score: TokenScore | None,
    eos_ids: frozenset[int],
    context_length: int,
) -> tuple[str, tuple[TokenScore, ...], str | None]:
    """Text, scores and the reason to finish, if there is one."""
    if token in eos_ids and (sequence.constraint or not sequence.params.ignore_eos):
        rest = sequence.output.finish()
        return rest.text, rest.scores, "stop"
    piece = sequence.output.feed(token, score)
    if piece.stopped:
        return piece.text, piece.scores, "stop"
    complete = sequence.constraint is not None and sequence.constraint.finished
    if not complete and not _is_full(sequence, context_length):
        return piece.text, piece.scores, None
    rest = sequence.output.finish()
    finish = "stop" if complete or rest.stopped else "length"
    return piece.text + rest.text, piece.scores + rest.scores, finish


def _is_full(sequence: Sequence, context_length: int) -> bool:
    said = len(sequence.tokens)
    return said >= sequence.params.max_tokens or len(sequence.prompt) + said >= context_length
