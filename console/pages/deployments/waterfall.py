"""The latency of one call as a picture: its parts one after another, which add up to the whole."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from models_app.deployments.models import RequestRecord

#: Below this a remainder is noise between two clocks, and not worth a line.
LEAST_MS = 0.05


@dataclass(frozen=True, kw_only=True)
class Part:
    """A stretch of time. `start` and `share` are percent of the whole."""

    name: str
    tone: str
    ms: float
    start: float
    share: float

    @property
    def seconds(self) -> float:
        return self.ms / 1000


def waterfall(record: RequestRecord) -> list[Part]:
    """The parts of a call's latency in their order.

    Several clocks measured them; what would reach beyond the whole is cut, and what nobody
    measured is given its own name.
    """
    whole = record.total_ms
    parts: list[Part] = []
    spent = 0.0
    for name, tone, wanted, shown in _stretches(record):
        ms = min(max(0.0, wanted), whole - spent)
        if shown or ms >= LEAST_MS:
            share = 100.0 * ms / whole if whole else 0.0
            start = 100.0 * spent / whole if whole else 0.0
            parts.append(Part(name=name, tone=tone, ms=ms, start=start, share=share))
        spent += ms
    return parts


def _stretches(record: RequestRecord) -> list[tuple[str, str, float, bool]]:
    """(name, tone, milliseconds, shown though nothing) of each."""
    computed = record.queue_ms is not None or record.prefill_ms is not None
    asleep = min(record.wake_ms, record.gateway_wait_ms)
    known: list[tuple[str, str, float, bool]] = [
        (_("Waiting at the gateway"), "amber", record.gateway_wait_ms - asleep, True),
        (_("Waking a replica"), "violet", asleep, False),
        (_("Queue at the replica"), "cyan", record.queue_ms or 0.0, computed),
        (_("Reading the prompt"), "blue", record.prefill_ms or 0.0, computed),
    ]
    spent = sum(ms for _name, _tone, ms, _shown in known)
    first = record.first_token_ms
    if first is not None and record.cache != "hit":
        known.append((_("On the way"), "neutral", first - spent, False))
        spent = max(spent, first)
    name, tone = _last(record)
    return [*known, (name, tone, record.total_ms - spent, False)]


def _last(record: RequestRecord) -> tuple[str, str]:
    """What the rest of the time was."""
    left = record.outcome == "client_closed"
    if record.cache == "hit":
        return _("Given from the cache of answers"), "green"
    if record.first_token_ms is None and left:
        return _("Until the caller hung up"), "red"
    if record.status >= 400 and not left:
        begun = record.first_token_ms is not None
        return (_("Writing, until it broke off") if begun else _("Until it failed")), "red"
    return _("Writing"), "green"


def speed(record: RequestRecord) -> float | None:
    """Tokens a second while writing: of a stream after its first token; None where unknown."""
    if record.cache == "hit" or record.completion_tokens < 2:
        return None
    if record.first_token_ms is not None:
        begun: Any = record.first_token_ms
    elif record.prefill_ms is not None:
        begun = record.gateway_wait_ms + (record.queue_ms or 0.0) + record.prefill_ms
    else:
        return None
    ms = record.total_ms - begun
    return (record.completion_tokens - 1) * 1000 / ms if ms > 0 else None
