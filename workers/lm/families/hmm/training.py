"""Learning a hidden Markov model from token ids, by Baum and Welch's method."""

import hashlib
from collections.abc import Callable
from typing import Any

from workers.lm.errors import InvalidTraining
from workers.lm.families.hmm.chunks import blocks, cut
from workers.lm.families.hmm.expectation import Expected
from workers.lm.families.hmm.model import HmmModel
from workers.lm.families.hmm.parameters import Parameters
from workers.lm.families.hmm.progress import HmmProgress
from workers.lm.families.hmm.spec import HmmSpec
from workers.lm.families.markov import IntArray, check_sequences

_LARGEST_VOCABULARY = 4_194_304


def train_hmm(
    spec: HmmSpec,
    tokens: IntArray,
    offsets: IntArray,
    vocab_size: int,
    on_iteration: Callable[[HmmProgress], None] = lambda progress: None,
    resume: HmmProgress | None = None,
) -> HmmModel:
    """The best of the restarts.

    `on_iteration` is called after every iteration with `progress.restart`, `.iteration` and
    `.log_likelihood` (nats a token); it may `progress.save(folder)` and may raise to stop. A
    training given `HmmProgress.load(folder)` ends with the same bits as one never interrupted.
    Raises InvalidTraining naming the field.
    """
    spec.check()
    if not 1 <= vocab_size <= _LARGEST_VOCABULARY:
        raise InvalidTraining("vocab_size", f"Must lie between 1 and {_LARGEST_VOCABULARY:,}.")
    spec.check_vocabulary(vocab_size)
    tokens, offsets = check_sequences(tokens, offsets, vocab_size, InvalidTraining)
    if not tokens.size:
        raise InvalidTraining("tokens", "There is nothing to learn from: no tokens.")
    task = _task(spec, tokens, offsets, vocab_size)
    if resume is not None and resume.task != task:
        raise InvalidTraining("resume", "It was begun with other settings or on other text.")
    progress = resume
    while (step := _next(spec, progress)) is not None:
        restart, parameters = step
        if parameters is None:
            parameters = Parameters.drawn(spec, restart, tokens, vocab_size)
        expected = _expect(spec, tokens, offsets, parameters)
        progress = _advance(spec, task, progress, restart, expected)
        on_iteration(progress)
    assert progress is not None  # there is one iteration at least
    return _best_model(spec, progress, tokens.size)


def _task(spec: HmmSpec, tokens: IntArray, offsets: IntArray, vocab_size: int) -> dict[str, Any]:
    digest = hashlib.sha256(tokens.tobytes() + offsets.tobytes()).hexdigest()
    return {"spec": spec.to_dict(), "vocab_size": vocab_size, "data": digest}


def _has_ended(spec: HmmSpec, history: tuple[float, ...]) -> bool:
    return len(history) == spec.iterations or _has_converged(spec, history)


def _has_converged(spec: HmmSpec, history: tuple[float, ...]) -> bool:
    return len(history) > 1 and history[-1] - history[-2] <= spec.tolerance


def _next(spec: HmmSpec, progress: HmmProgress | None) -> tuple[int, Parameters | None] | None:
    """The restart to go on with and its parameters, None for new ones; None: all have ended."""
    if progress is None:
        return 0, None
    if not _has_ended(spec, progress.histories[-1]):
        return progress.restart, progress.parameters
    return (progress.restart + 1, None) if progress.restart + 1 < spec.restarts else None


def _expect(spec: HmmSpec, tokens: IntArray, offsets: IntArray, parameters: Parameters) -> Expected:
    expected = Expected.none(parameters.states, parameters.vocab_size)
    width = parameters.states ** (2 if spec.space == "log" else 1)
    for block in blocks(tokens, *cut(offsets, spec.chunk_length), width):
        expected.add(block, parameters, spec.space)
    expected.log_likelihood /= tokens.size
    return expected


def _advance(
    spec: HmmSpec,
    task: dict[str, Any],
    progress: HmmProgress | None,
    restart: int,
    expected: Expected,
) -> HmmProgress:
    histories = progress.histories if progress else ()
    best, best_restart = (progress.best, progress.best_restart) if progress else (None, None)
    history = (*(histories[restart] if restart < len(histories) else ()), expected.log_likelihood)
    histories = (*histories[:restart], history)
    parameters = Parameters.floored(
        expected.start, expected.transitions, expected.emissions, spec.floor
    )
    better = best_restart is None or history[-1] > histories[best_restart][-1]
    if _has_ended(spec, history) and better:
        best, best_restart = parameters, restart
    return HmmProgress(task, histories, parameters, best, best_restart)


def _best_model(spec: HmmSpec, progress: HmmProgress, tokens: int) -> HmmModel:
    assert progress.best is not None and progress.best_restart is not None  # noqa: PT018
    histories = progress.histories
    history = histories[progress.best_restart]
    record = {
        "training": spec.to_dict(),
        "tokens": tokens,
        "restart": progress.best_restart,
        "iterations": len(history),
        "converged": _has_converged(spec, history),
        "log_likelihood": history[-1],
        "history": list(history),
        "restarts": [row[-1] for row in histories],
        "warnings": [],
    }
    return HmmModel(progress.best, record)
