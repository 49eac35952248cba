"""From an event of the audit log to the page of its thing, and from its changes to words."""

import re
from typing import Any

from console.pages.navigation import url_or_none
from models_app.audit.models import AuditEvent

#: Kind of thing -> URL name of its page, which takes the id.
BY_ID = {
    "job": "job_detail",
    "approval request": "approval_detail",
    "evaluation": "evaluation_detail",
    "person": "person_detail",
}
#: The same where the label of the thing is all that the page takes.
BY_LABEL = {"node": "node_detail", "pool": "pool_detail"}
#: The same where the page takes the team and the name, which is the label of the thing.
BY_NAME = {"dataset": "dataset_detail", "model": "model_detail", "deployment": "deployment_detail"}
#: The same where the label is the name and a number, such as `poet v3`.
BY_NUMBER = {
    "dataset version": "dataset_version",
    "model version": "model_version",
    "revision": "revision_detail",
}
DIGEST = re.compile(r"[0-9a-f]{64}")
NUMBERED = re.compile(r"(.+) [vr](\d{1,9})")


def object_href(event: AuditEvent) -> str | None:
    """The page of the thing, if it has one."""
    team = event.team.slug if event.team else ""
    return thing_href(event.object_type, event.object_id, event.object_label, team)


def thing_href(kind: str, number: str, label: str, team: str) -> str | None:
    """The page of a thing: its kind in English, its number and label, the name of its team."""
    if kind in BY_ID:
        return url_or_none(BY_ID[kind], number)
    if kind in BY_LABEL:
        return url_or_none(BY_LABEL[kind], label)
    if not team:
        return None
    if kind == "data policy":
        return url_or_none("data_policy", team)
    if kind in {"team", "membership"}:
        return url_or_none("team_detail", team)
    if kind in BY_NAME:
        return url_or_none(BY_NAME[kind], team, label)
    found = NUMBERED.fullmatch(label)
    if kind in BY_NUMBER and found:
        return url_or_none(BY_NUMBER[kind], team, found[1], int(found[2]))
    return None


def change_lines(changes: dict[str, Any]) -> list[tuple[str, str | None, str]]:
    """(field, before or None, after) for each change, as text."""
    if set(changes) == {"from", "to"}:
        return [("", _text(changes["from"]), _text(changes["to"]))]
    return [_line(name, value) for name, value in changes.items()]


def _line(name: str, value: Any) -> tuple[str, str | None, str]:
    words = name.replace("_", " ")
    if isinstance(value, dict) and set(value) == {"from", "to"}:
        return words, _text(value["from"]), _text(value["to"])
    return words, None, _text(value)


def _text(value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    text = str(value)
    # A digest is told apart by its beginning; whole, it would push the other columns away.
    return f"{text[:12]}…" if DIGEST.fullmatch(text) else text
