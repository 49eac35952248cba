"""What the HTTP side of a model server needs of whatever computes its tokens.

`engine.Engine` is the first of these; it computes with one of the runners of `plan.Runner`. An
engine that schedules by itself stands behind this interface instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .ask import Ask, Ticket
    from .detokenize import TokenText
    from .events import Sink
    from .gauges import EngineStats

#: Values of `ServeOptions.backend`: ours, ours over OpenVINO's kernels, vLLM's.
BACKENDS = ("slipway", "openvino", "vllm")


class Backend(Protocol):
    """Answers requests. `prove` and `run` belong to one thread, the rest to any thread.

    Every choice that `submit` took gets exactly one last event: a `Delta` with its finish, or
    `Ended`.
    """

    decoder: TokenText
    max_waiting: int
    #: Why it must not go on, None while it is well.
    broken: str | None

    @property
    def vocab_size(self) -> int:
        """How many token ids it knows."""
        ...

    @property
    def context_length(self) -> int:
        """Most tokens of a prompt and its answer."""
        ...

    @property
    def max_slots(self) -> int:
        """Most choices that are computed at the same time."""
        ...

    @property
    def mode(self) -> str:
        """One word for how it computes, for the health page."""
        ...

    @property
    def cache_bytes(self) -> int:
        """Address space set aside for keys and values, 0 where it is not known."""
        ...

    @property
    def live(self) -> int:
        """Choices queued or running."""
        ...

    @property
    def state(self) -> str:
        """ready, draining or failed."""
        ...

    def submit(self, asks: list[Ask], sink: Sink, *, choices: int = 1) -> Sequence[Ticket]:
        """Queue `choices` answers to each ask, all or none; events go to `sink`.

        Returns a ticket for each, which `cancel` takes. Raises a `ServingError`: `QueueFull`, `Draining`, or a
        `BadRequest` that names the field that this backend cannot serve.
        """
        ...

    def cancel(self, sequences: Iterable[Any]) -> None:
        """Give these up soon; each still gets its last event."""
        ...

    def drain(self) -> None:
        """Take nothing new; what is queued and running goes on."""
        ...

    def stop(self) -> None:
        """End `run` now; whatever is left fails."""
        ...

    def stats(self) -> EngineStats:
        """A snapshot for the health page."""
        ...

    def prove(self) -> int:
        """Compute one real token before anything else; what readiness means."""
        ...

    def run(self) -> None:
        """Compute until `stop`, or until it is broken."""
        ...
