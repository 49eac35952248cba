"""What a format is: what it is called, what it needs, how it is written and how it is scored."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from workers.lm.errors import InvalidWork

if TYPE_CHECKING:
    import torch

    from workers.lm.events import Events

#: Files of a source that say how text becomes tokens and how answers are made.
COMPANIONS = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    "generation_config.json",
)  # fmt: skip


class Reader(Protocol):
    """A model that was opened: gives next-token logits, nothing else."""

    #: What computes, for the report: `onnxruntime 1.32.0`.
    engine: str

    def logits(self, ids: torch.Tensor) -> torch.Tensor:
        """[rows, tokens] of token ids -> [rows, tokens, vocabulary] in fp32."""


@dataclass(frozen=True)
class Gate:
    """The worst parity with which a conversion still passes; None asks for nothing.

    Errors are of logits, divergences in nats, the increase of perplexity and shares between 0
    and 1.
    """

    max_logit_error: float | None = None
    mean_divergence: float | None = None
    perplexity_increase: float | None = None
    top1_agreement: float | None = None
    greedy_agreement: float | None = None


EXACT = Gate(max_logit_error=1e-3, mean_divergence=1e-6, perplexity_increase=1e-4)
HALF = Gate(mean_divergence=0.005, perplexity_increase=0.005)
EIGHT_BIT = Gate(mean_divergence=0.02, perplexity_increase=0.02)


@dataclass(frozen=True)
class Precision:
    """One choice of numbers within a format, its size and its gate."""

    name: str
    bytes_per_weight: float
    gate: Gate = field(default_factory=Gate)


class Format:
    """Subclass this in a file of its own; register with `@register`."""

    name: ClassVar[str]
    label: ClassVar[str]
    #: One sentence: what it is for.
    purpose: ClassVar[str]
    #: The format that the version gets; a merged adapter is plain safetensors again.
    produces: ClassVar[str]
    precisions: ClassVar[tuple[Precision, ...]]
    #: Distributions that it needs beyond those of every worker, and the extra that has them.
    packages: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    suffixes: ClassVar[tuple[str, ...]] = (".safetensors",)
    #: Where it stands among the others.
    place: ClassVar[int] = 9
    #: What it is written from: a transformer, an adapter with its base, or an ngram.
    takes: ClassVar[str] = "transformer"
    #: Memory while it works, in bytes for each weight.
    memory_per_weight: ClassVar[float] = 12.0

    @property
    def takes_adapter(self) -> bool:
        """Whether a base lies beside the source."""
        return self.takes == "adapter"

    def unavailable(self) -> str:
        """Why this machine cannot write it and what to do; empty if it can."""
        missing = [name for name in self.packages if not has_package(name)]
        if not missing:
            return ""
        return (
            f"{self.label} needs {', '.join(missing)}. Install the extra {self.extra!r} on this "
            f"node: pip install -r requirements/{self.extra}.txt"
        )

    def precision(self, name: str) -> Precision:
        """A choice by its name, the first one for an empty name; InvalidWork for any other."""
        for precision in self.precisions:
            if name in ("", precision.name):
                return precision
        known = ", ".join(precision.name for precision in self.precisions)
        raise InvalidWork("precision", f"{self.label} knows {known}.")

    def check(self, config: Mapping[str, Any]) -> None:
        """Refuse an architecture that it cannot hold (InvalidWork), before any work."""

    def write(self, source: Path, out: Path, precision: str, events: Events) -> None:
        """Write the model of `source` into the empty folder `out`."""
        raise NotImplementedError

    def open(self, folder: Path, threads: int) -> Reader:
        """Open what `write` wrote, by the library that people deploy it with where there is one."""
        raise NotImplementedError


FORMATS: dict[str, Format] = {}


def register(cls: type[Format]) -> type[Format]:
    """Class decorator: file one instance under its name. A name given twice raises."""
    if cls.name in FORMATS:
        raise RuntimeError(f"two formats are called {cls.name!r}")
    FORMATS[cls.name] = cls()
    # Whatever order files are imported in, people find the formats in this one.
    for name in sorted(FORMATS, key=lambda name: (FORMATS[name].place, name)):
        FORMATS[name] = FORMATS.pop(name)
    return cls


def has_package(name: str) -> bool:
    """Whether a distribution is installed; does not import it."""
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def copy_companions(source: Path, out: Path, more: Sequence[str] = ()) -> None:
    """Lay the tokenizer and its settings beside the new weights."""
    for name in (*COMPANIONS, *more):
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)


def stop_if_asked(events: Events, done: int = 0) -> None:
    """Raise Stopped where the work was asked to end."""
    from workers.lm.errors import Stopped

    if events.should_stop():
        raise Stopped(done, None)
