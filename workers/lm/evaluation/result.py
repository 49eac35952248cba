"""What a finished evaluation hands back."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """Sums over all documents, and where the score of each one is kept.

    `unknown_tokens` counts what the tokenizer could not read: with any of those, bits per byte
    must not be compared with a model that reads everything.
    """

    documents: int
    tokens: int
    bytes: int
    nats: float
    unknown_tokens: int
    #: Whether the text can be told again from the tokens; else bytes say nothing of it.
    lossless: bool
    sequence_length: int
    seconds: float
    scores_file: Path
    scores_sha256: str

    @property
    def nats_per_token(self) -> float:
        """The mean loss."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """Per token; infinite where a float cannot hold it."""
        return math.exp(self.nats_per_token) if self.nats_per_token < 700 else math.inf

    @property
    def bits_per_byte(self) -> float:
        """Comparable between models with different tokenizers."""
        return self.nats / math.log(2) / self.bytes

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON, with the derived figures."""
        return {
            **asdict(self),
            "scores_file": str(self.scores_file),
            "nats_per_token": self.nats_per_token,
            "perplexity": self.perplexity if math.isfinite(self.perplexity) else None,
            "bits_per_byte": self.bits_per_byte,
        }


@dataclass(frozen=True, kw_only=True)
class AskedResult:
    """How many questions were answered rightly, how they were put, and where each one is kept.

    `correct_normalised` is None where nothing was to be chosen. `unknown_tokens` counts what the
    tokenizer could not read of the choices.
    """

    documents: int
    correct: int
    correct_normalised: int | None
    tokens: int
    unknown_tokens: int
    asking: dict[str, Any]
    seconds: float
    scores_file: Path
    scores_sha256: str

    @property
    def accuracy(self) -> float:
        """The share of questions answered rightly."""
        return self.correct / self.documents

    @property
    def accuracy_normalised(self) -> float | None:
        """The same where choices are weighed by their bytes."""
        found = self.correct_normalised
        return None if found is None else found / self.documents

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON, with the derived figures."""
        plain = {**asdict(self), "scores_file": str(self.scores_file), "accuracy": self.accuracy}
        asking = plain.pop("asking")
        if self.correct_normalised is None:
            del plain["correct_normalised"]
        else:
            plain["accuracy_normalised"] = self.accuracy_normalised
        return {**plain, **asking}
