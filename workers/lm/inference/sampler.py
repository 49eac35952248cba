"""Chooses one token a row: greedy in one call for all, everything else row by row."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from .errors import GenerationFailed, ServingError
from .events import TokenScore
from .sequence import Sequence

_SHORTLIST = 256
_LEAST = -9999.0  # JSON knows no infinity; OpenAI writes an impossible token like this

Choice = tuple[int, TokenScore | None]


def sample(logits: torch.Tensor, sequences: list[Sequence]) -> list[Choice | ServingError]:
    """A token for each row, or the error of that row alone.

    Log-probabilities are those of the model, before temperature and penalties.
    """
    if not sequences:
        return []
    peaks, best = logits.max(dim=-1)
    finite = torch.isfinite(peaks).tolist()
    greedy: list[int] = best.tolist()
    return [
        _one(logits[row], sequence, greedy[row], finite[row])
        for row, sequence in enumerate(sequences)
    ]


def _one(row: torch.Tensor, sequence: Sequence, greedy: int, finite: bool) -> Choice | ServingError:
    if not finite:
        return GenerationFailed(
            "The model produced numbers that are not finite for this prompt.",
            code="non_finite_logits",
        )
    if sequence.params.plain_greedy:
        return greedy, None
    try:
        token = _draw(_adjust(row, sequence), sequence)
        if sequence.params.top_logprobs is None:
            return token, None
        return token, score(row, token, sequence.params.top_logprobs)
    except ServingError as error:
        return error
    except Exception as error:
        # Whatever one request's parameters provoke must not end its neighbours.
        return GenerationFailed(f"Sampling failed: {type(error).__name__}.")


def _adjust(row: torch.Tensor, sequence: Sequence) -> torch.Tensor:
    """Logits with penalties and bias, held to the form of the answer; a copy where anything
    changes."""
    params = sequence.params
    if params.logit_bias or sequence.counts or sequence.seen:
        row = _penalised(row.clone(), sequence)
        if params.logit_bias:
            _add(row, params.logit_bias)
    return row if sequence.constraint is None else sequence.constraint.mask(row)


def _penalised(row: torch.Tensor, sequence: Sequence) -> torch.Tensor:
    """What was said before becomes less likely; changes the row."""
    params = sequence.params
    if sequence.seen:
        ids = torch.tensor(sorted(sequence.seen), device=row.device)
        logits, penalty = row[ids], params.repetition_penalty
        row[ids] = torch.where(logits > 0, logits / penalty, logits * penalty)
    if sequence.counts:
        ids = torch.tensor(list(sequence.counts), device=row.device)
        counts = torch.tensor(list(sequence.counts.values()), dtype=row.dtype, device=row.device)
        row[ids] -= params.presence_penalty + params.frequency_penalty * counts
    return row


def _add(row: torch.Tensor, biases: Mapping[int, float]) -> None:
    ids = torch.tensor(list(biases), device=row.device)
    row[ids] += torch.tensor(list(biases.values()), dtype=row.dtype, device=row.device)


def _draw(row: torch.Tensor, sequence: Sequence) -> int:
    """Temperature, then min_p and top_k, then top_p over what is left, then one draw."""
    params = sequence.params
    if params.temperature == 0 or params.top_p == 0 or params.top_k == 1:
        return int(row.argmax())
    scaled = row.double() / params.temperature
    scaled -= scaled.max()
    if params.top_p >= 1 and params.top_k == 0 and params.min_p == 0:
        return _pick(scaled.exp(), sequence.draw())
    values, ids = _candidates(scaled, params.top_k, params.min_p, params.top_p)
    return int(ids[_pick(values.exp(), sequence.draw())])


def _candidates(
    scaled: torch.Tensor, top_k: int, min_p: float, top_p: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The tokens that may be drawn, most likely first.

    A short list nearly always suffices; the whole vocabulary is sorted only where the
    mass below `top_p` does not fit it.
    """
    size = scaled.numel()
    kept = _surviving(scaled, top_k, min_p)
    shortlist = min(kept, _SHORTLIST)
    values, ids = torch.topk(scaled, shortlist)
    if top_p >= 1:
        if shortlist < kept:
            values, ids = torch.topk(scaled, kept)
        return values, ids
    mass = _mass(scaled, kept)
    if shortlist < kept and float(values.exp().sum()) < top_p * mass:
        values, ids = torch.topk(scaled, min(kept, size))
    before = values.exp().cumsum(0) - values.exp()
    count = max(1, int((before < top_p * mass).sum()))
    return values[:count], ids[:count]


def _surviving(scaled: torch.Tensor, top_k: int, min_p: float) -> int:
    """How many tokens are left after top_k and min_p (their set is a prefix of the order)."""
    kept = scaled.numel() if top_k == 0 else min(top_k, scaled.numel())
    if min_p > 0:
        kept = min(kept, int((scaled >= math.log(min_p)).sum()))
    return max(1, kept)


def _mass(scaled: torch.Tensor, kept: int) -> float:
    if kept == scaled.numel():
        return float(scaled.exp().sum())
    return float(torch.topk(scaled, kept).values.exp().sum())


def _pick(weights: torch.Tensor, draw: float) -> int:
    """The index where the cumulated weight passes the draw; never one of weight zero."""
    total = weights.cumsum(0)
    index = int(torch.searchsorted(total, draw * float(total[-1]), right=True))
    return min(index, weights.numel() - 1)


def score(row: torch.Tensor, token: int, top: int) -> TokenScore:
    """Log-probability of a token and of the `top` most likely ones."""
    logs = torch.log_softmax(row.float(), dim=-1)
    best: tuple[tuple[int, float], ...] = ()
    if top:
        values, ids = torch.topk(logs, min(top, logs.numel()))
        best = tuple(zip(ids.tolist(), values.clamp_min(_LEAST).tolist(), strict=True))
    return TokenScore(token, max(_LEAST, float(logs[token])), best)
