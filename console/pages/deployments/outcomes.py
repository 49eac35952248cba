"""How a call ended, in words, and what to do about it."""

import re
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from models_app.deployments.models import RequestRecord

Words = tuple[Promise, Promise]

GOOD: dict[str, Words] = {
    "stop": (_("Answered"), _("The model ended its answer, or a stop word did.")),
    "length": (
        _("Cut at the limit"),
        _(
            "The answer reached max_tokens, or prompt and answer fill the context. If it was cut"
            " too early, ask for more tokens or send a shorter prompt."
        ),
    ),
    "tool_calls": (_("Answered with a tool call"), _("The caller is to run the tool and go on.")),
}
LEFT: dict[str, Words] = {
    "client_closed": (
        _("The caller hung up"),
        _(
            "The connection was closed before the answer was complete, and the replica stopped at"
            " once. Where that happens often, look at the caller's time limit."
        ),
    ),
    "client_slow": (
        _("The caller took too long to read"),
        _("Nothing of the stream was taken for a minute. Look at the caller or its proxy."),
    ),
}
FULL: Words = (
    _("Every replica was full"),
    _(
        "More requests waited than the settings allow. Add replicas, raise the bounds of scaling,"
        " or let requests wait longer. The caller may try again after the seconds it was told."
    ),
)
FAILED: Words = (
    _("The model server failed"),
    _(
        "The replica answered with an error of its own. Its job's log has the trace under this"
        " request's ID."
    ),
)
STOPPED: Words = (
    _("Stopped before the answer was complete"),
    _("A server was stopped, as in an update. Send the request again."),
)
BAD: dict[str, Words] = {
    "replicas_busy": FULL,
    "queue_full": FULL,
    "no_replica_ready": (
        _("No replica was ready in time"),
        _(
            "Look at the deployment's replicas: they may be starting, asleep or crashed. Requests"
            " wait for one as long as the settings say (queue_wait_s)."
        ),
    ),
    "replica_lost": (
        _("The answer broke off"),
        _(
            "The model server was lost and no other one could go on. Look at its job: why it ended"
            " stands there. Two replicas or more let an answer go on elsewhere."
        ),
    ),
    "replica_error": FAILED,
    "replica_failed": FAILED,
    "generation_failed": FAILED,
    "unreadable": FAILED,
    "non_finite_logits": (
        _("The model computed no number"),
        _("Its weights or its number format are broken. Evaluate the version before it serves."),
    ),
    "deadline_exceeded": (
        _("It took too long"),
        _(
            "The answer was not complete in the time that requests may take. Ask for fewer tokens,"
            " or look at what the time below went into."
        ),
    ),
    "gateway_stopped": STOPPED,
    "server_stopped": STOPPED,
    "draining": STOPPED,
    "internal_error": (
        _("The gateway failed"),
        _("Its log has the trace under this request's ID."),
    ),
    "unavailable": (
        _("The gateway could not check the call"),
        _("The database did not answer. Send the request again."),
    ),
    "context_length_exceeded": (
        _("Too long for the model"),
        _("Prompt and wanted answer do not fit the context. Shorten one of them."),
    ),
    "adapter_not_loaded": (
        _("The adapter was not loaded"),
        _("Look at the adapters of the deployment: it may be loading, or was removed."),
    ),
    "target_locked": (
        _("A rule of the route is locked"),
        _("The caller asked for a target by a header. It must leave the header out."),
    ),
    "target_not_found": (
        _("The target that was asked for does not serve"),
        _("Look at the header that names it."),
    ),
    "chat_template_error": (
        _("The messages do not fit the model's template"),
        _("Send roles in the order that the model's template knows."),
    ),
    "empty_prompt": (_("Nothing was asked"), _("Send a prompt that is not empty.")),
}


#: What the gateway notes on the way, and how it is told; the first that fits.
ON_THE_WAY = (
    (r"replica (?P<n>\d+): lost after (?P<tokens>\d+) tokens",
     _("Replica %(n)s was lost after %(tokens)s tokens.")),
    (r"replica (?P<n>\d+): (?P<status>429|503)",
     _("Replica %(n)s had no room (%(status)s).")),
    (r"replica (?P<n>\d+): (?P<why>.+)", _("Replica %(n)s did not answer: %(why)s.")),
    (r"not resumed: (?P<code>\w+)", _("No other replica could go on with it: %(code)s.")),
    (r"param (?P<name>.+)", _("It was about the parameter %(name)s.")),
    (r"(?P<name>[^\s:]+/[^\s:]+): (?P<code>\w+)",
     _("%(name)s could not answer: %(code)s.")),
)  # fmt: skip


def way_words(detail: str) -> list[str]:
    """What happened before the end of a call, a sentence each; what is not known stays as it is."""
    return [_way(text) for text in detail.split("; ") if text]


def _way(text: str) -> str:
    for pattern, words in ON_THE_WAY:
        if match := re.fullmatch(pattern, text):
            return str(words) % match.groupdict()
    return text


@dataclass(frozen=True)
class Outcome:
    """What became of a call; `tone` is a colour's name."""

    tone: str
    title: str
    text: str


def title_of(name: str) -> str:
    """A way to end in words; what has none stands as it is."""
    words = GOOD.get(name) or LEFT.get(name) or BAD.get(name)
    return str(words[0]) if words else name


def say_outcomes(records: list[RequestRecord]) -> list[RequestRecord]:
    """The same rows, each with `said`: how it ended, in a few words."""
    rows: list[Any] = list(records)
    for row in rows:
        row.said = outcome_of(row).title
    return rows


def outcome_of(record: RequestRecord) -> Outcome:
    """How it ended and what to do."""
    name = record.outcome
    if name in GOOD and record.status < 400:
        return _said("green", GOOD[name])
    if name in LEFT:
        return _said("amber", LEFT[name])
    if name in BAD:
        tone = "amber" if 400 <= record.status < 500 else "red"
        return _said(tone, BAD[name])
    return _said(*_by_status(record.status))


def _by_status(status: int) -> tuple[str, Words]:
    if status >= 500:
        return "red", FAILED
    if status == 429:
        return "amber", FULL
    if status >= 400:
        text = _("The request itself was refused. The caller was told which field and why.")
        return "amber", (_("Refused"), text)
    return "green", (_("Answered"), _("The caller got the whole answer."))


def _said(tone: str, words: Words) -> Outcome:
    return Outcome(tone, str(words[0]), str(words[1]))
