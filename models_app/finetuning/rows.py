"""What a file for fine-tuning must look like: a conversation with an answer in every line."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.translation import gettext as _

from models_app.core.errors import FieldError

#: Problems that are told at once, the first ones.
MOST_TOLD = 5
ROLES = ("system", "user", "assistant", "tool")


def rows_check(lines: Iterable[bytes]) -> int:
    """How many examples there are; FieldError `file` naming the first lines that are none."""
    problems: list[str] = []
    count = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        count += 1
        problem = row_problem(line)
        if problem:
            problems.append(_("Line %(n)s: %(problem)s") % {"n": number, "problem": problem})
            if len(problems) == MOST_TOLD:
                break
    if problems:
        raise FieldError("file", " ".join(problems), code="invalid_file_format")
    if count < 2:
        said = _("At least 2 examples are needed, one to train on and one to be held out.")
        raise FieldError("file", said, code="invalid_n_examples")
    return count


def row_problem(line: bytes) -> str:
    """What is wrong with one line; empty if nothing is."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return _("It is not valid JSON.")
    if not isinstance(row, dict):
        return _("It is not a JSON object.")
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        return _("It has no list 'messages'.")
    for number, message in enumerate(messages, 1):
        if problem := _message_problem(message):
            return _("Message %(n)s: %(problem)s") % {"n": number, "problem": problem}
    if messages[-1]["role"] != "assistant":
        return _("Its last message must be from the assistant.")
    return _("It has a 'text' beside its messages; remove that.") if "text" in row else ""


def _message_problem(message: Any) -> str:
    if not isinstance(message, Mapping):
        return _("It is not an object.")
    role = message.get("role")
    if role not in ROLES:
        said = _("The role %(role)r is unknown; roles are %(roles)s.")
        return said % {"role": str(role)[:40], "roles": ", ".join(ROLES)}
    if not isinstance(message.get("content"), str):
        return _("It has no text as 'content'. Calls of tools and pictures are not trained.")
    if message.get("weight", 1) != 1:
        return _("It has a 'weight' other than 1, which is not supported.")
    return ""
