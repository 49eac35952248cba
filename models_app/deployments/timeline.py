"""The events of a roll-out in words, with the tone and the icon that pages give them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from models_app.deployments.models import RolloutEvent


@dataclass(frozen=True)
class Line:
    """How one kind of event looks; `text` takes the event's data."""

    tone: str
    icon: str
    text: str


LINES = {
    "started": Line("blue", "rocket", gettext_noop("%(by)s began the roll-out of r%(revision)s.")),
    "automatic": Line(
        "amber", "arrow-back-up", gettext_noop("The console goes back to r%(revision)s by itself.")
    ),
    "released": Line(
        "neutral",
        "player-stop",
        gettext_noop("r%(revision)s, which was kept warm, is stopped to make room."),
    ),
    "share": Line(
        "blue",
        "arrows-split-2",
        gettext_noop("%(percent)s %% of the requests go to the new revision."),
    ),
    "mirror": Line(
        "blue", "arrows-split-2", gettext_noop("Copies of %(mirror)s %% of the requests go to it.")
    ),
    "watching": Line(
        "blue", "eye", gettext_noop("Its replicas are ready; it is watched for %(bake_s)s s.")
    ),
    "few_requests": Line(
        "amber",
        "hourglass",
        gettext_noop("Too few requests to judge by: it is watched for longer."),
    ),
    "asks_person": Line(
        "violet", "hourglass", gettext_noop("It waits until a person promotes it.")
    ),
    "passed": Line("green", "circle-check", gettext_noop("The figures are good.")),
    "unjudged": Line(
        "amber", "circle-check", gettext_noop("There were too few requests to judge by.")
    ),
    "step": Line("blue", "player-track-next", gettext_noop("Step %(number)s of %(of)s begins.")),
    "replanned": Line(
        "amber",
        "refresh",
        gettext_noop("The pool %(pool)s is full by now: old replicas leave first."),
    ),
    "paused": Line("neutral", "player-pause", gettext_noop("%(by)s paused it.")),
    "resumed": Line("blue", "player-play", gettext_noop("%(by)s let it go on.")),
    "promoted": Line("violet", "player-track-next", gettext_noop("%(by)s began the next step.")),
    "bad_figures": Line("red", "alert-triangle", gettext_noop("The figures are bad.")),
    "burnt": Line(
        "red", "alert-triangle", gettext_noop("After the switch too many requests fail.")
    ),
    "golden_stored": Line(
        "neutral", "archive", gettext_noop("%(answers)s golden answers are stored.")
    ),
    "golden_equal": Line(
        "green",
        "circle-check",
        gettext_noop("All %(answers)s golden answers are the same as before."),
    ),
    "golden_different": Line(
        "red", "circle-x", gettext_noop("%(different)s of %(answers)s golden answers differ.")
    ),
    "golden_unanswered": Line(
        "amber", "alert-triangle", gettext_noop("A golden answer did not come.")
    ),
    "forced": Line(
        "violet", "alert-triangle", gettext_noop("%(by)s let the different answers through.")
    ),
    "succeeded": Line("green", "circle-check", gettext_noop("r%(revision)s gets all requests.")),
    "aborted": Line("neutral", "ban", gettext_noop("It was aborted.")),
    "aborted_by": Line("neutral", "ban", gettext_noop("%(by)s aborted it.")),
    "rolled_back": Line(
        "red", "arrow-back-up", gettext_noop("All requests go to the revision before again.")
    ),
    "failed": Line("red", "circle-x", gettext_noop("It failed; what served before goes on.")),
}
#: The line next to these has the reason.
TOLD_BEFORE = ("rolled_back", "golden_different")
ROOM = {
    "drain_first": gettext_noop(
        "There is room for %(free)s of %(wanted)s beside the old ones, so old ones leave first."
    ),
    "short": gettext_noop("There is room for %(free)s of %(wanted)s: it waits for more."),
}  # fmt: skip


def event_line(event: RolloutEvent, said: Callable[[str], str] = str) -> Line:
    """Tone, icon, and sentences with the figures that there were. `said` translates what was
    stored as a sentence.
    """
    data: dict[str, Any] = dict(event.data)
    kind = event.kind
    if kind == "share" and data.get("mirror"):
        kind = "mirror"
    elif kind == "aborted" and data.get("by"):
        kind = "aborted_by"
    line = LINES.get(kind)
    if line is None:
        return Line("neutral", "info-circle", event.kind)
    told = [_filled(line.text, data)]
    if room := ROOM.get(str(data.get("room"))):
        told.append(_filled(room, data))
    if kind not in TOLD_BEFORE:
        # Of a long reason, such as the end of a log, the page of the revision has the rest.
        told.append(said(str(data.get("why") or "").split("\n\n")[0]))
    told.append(figures_text(data))
    if data.get("reason"):
        told.append(f"“{data['reason']}”")
    return Line(line.tone, line.icon, " ".join(filter(None, told)))


def _filled(text: str, data: dict[str, Any]) -> str:
    try:
        return _(text) % data
    except KeyError:  # an event of an earlier version, without this figure
        return _(text)


def figures_text(data: dict[str, Any]) -> str:
    """Both sides in one sentence; empty without figures."""
    new, old = data.get("new"), data.get("old")
    if not isinstance(new, dict) or not isinstance(old, dict):
        return ""
    text = _("New: %(new)s.") % {"new": _arm(new)}
    copies = data.get("copies")
    if isinstance(copies, dict):
        said = _("%(alike)s of %(pairs)s copies ended like their requests; %(copy_p95_ms)s ms"
                 " instead of %(original_p95_ms)s ms (p95).")  # fmt: skip
        text += " " + said % copies
    if judged := _judged(data.get("judge")):
        text += " " + judged
    if not old.get("requests"):
        return text
    beside = _("Old: %(old)s.") % {"old": _arm(old)}
    return f"{text} {beside}"


def _judged(judge: Any) -> str:
    """What the judge said of the copies; empty where none is asked."""
    if not isinstance(judge, dict):
        return ""
    if not judge.get("judged"):
        return _("The judge has said nothing of any copy.")
    if judge.get("win_percent") is None:
        return _("The judge could not tell any of %(judged)s copies apart.") % judge
    said = _("The judge prefers the copy in %(win_percent)s %% of those that it tells apart (95 %%:"
             " %(low_percent)s to %(high_percent)s %%): %(wins)s won, %(losses)s lost, %(ties)s"
             " ties.")  # fmt: skip
    return said % judge


def _arm(arm: dict[str, Any]) -> str:
    p95 = arm.get("first_token_p95_ms")
    told = {
        "n": arm.get("requests", 0),
        "percent": f"{arm.get('error_percent', 0):g}",
        "ms": "" if p95 is None else f"{p95:.0f}",
    }
    if p95 is None:  # none of them was a stream
        return _("%(n)s requests, %(percent)s %% failed") % told
    return _("%(n)s requests, %(percent)s %% failed, first token %(ms)s ms (p95)") % told
