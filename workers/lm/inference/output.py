"""A choice's text as it grows: characters, stop strings, and the scores that belong to them."""

from __future__ import annotations

from dataclasses import dataclass

from .detokenize import IncrementalText, TokenText
from .events import TokenScore
from .params import SamplingParams
from .stop import StopMatcher


@dataclass(frozen=True, slots=True)
class Piece:
    """What one token made visible; `stopped` where a stop string was completed."""

    text: str
    scores: tuple[TokenScore, ...]
    stopped: bool


class Output:
    """Text and scores of one choice; the same path serves streamed and whole answers."""

    def __init__(self, decoder: TokenText, prompt: list[int], params: SamplingParams) -> None:
        self._text = IncrementalText(decoder, prompt)
        self._stops = StopMatcher(params.stop)
        self._seen = 0
        self._shown = 0
        self._scores: list[tuple[int, TokenScore]] = []

    def feed(self, token_id: int, score: TokenScore | None) -> Piece:
        """Add a sampled token."""
        if score is not None:
            self._scores.append((self._seen, score))
        return self._show(self._text.feed(token_id))

    def finish(self) -> Piece:
        """No more tokens: let out what was held back."""
        piece = self._show(self._text.flush())
        if piece.stopped:
            return piece
        rest = self._stops.flush()
        self._shown += len(rest)
        scores = tuple(score for _, score in self._scores)
        self._scores = []
        return Piece(piece.text + rest, piece.scores + scores, False)

    def _show(self, text: str) -> Piece:
        self._seen += len(text)
        shown = self._stops.feed(text)
        self._shown += len(shown)
        stopped = self._stops.matched is not None
        scores = self._release_scores(stopped)
        return Piece(shown, scores, stopped)

    def _release_scores(self, stopped: bool) -> tuple[TokenScore, ...]:
        """Scores go out with their token's text; those of a cut stop string never do."""
        ready = [score for start, score in self._scores if start < self._shown]
        self._scores = [] if stopped else [item for item in self._scores if item[0] >= self._shown]
        return tuple(ready)
