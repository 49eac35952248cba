"""The messages of a chat, read strictly: text only, each complaint with the path of its field."""

from __future__ import annotations

from typing import Any

from .fields import Fields

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
MAX_MESSAGES = 4096
_UNSERVED = ("tool_calls", "function_call", "audio", "refusal")


def read_messages(fields: Fields) -> tuple[dict[str, str], ...]:
    """Messages as chat templates take them; `developer` is what `system` was called before."""
    raw = fields.get("messages")
    if not isinstance(raw, list) or not 1 <= len(raw) <= MAX_MESSAGES:
        raise fields.wrong("messages", f"must be an array of 1 to {MAX_MESSAGES} messages")
    return tuple(_message(item, index) for index, item in enumerate(raw))


def _message(item: Any, index: int) -> dict[str, str]:
    fields = Fields(item, f"messages[{index}].")
    role = fields.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise fields.wrong("role", f"must be one of {', '.join(sorted(ROLES))}")
    message = {"role": "system" if role == "developer" else role, "content": _content(fields)}
    name = fields.text("name", limit=64)
    if name:
        message["name"] = name
    if role == "tool":
        message["tool_call_id"] = fields.text("tool_call_id", limit=256, required=True) or ""
    for unserved in _UNSERVED:
        if fields.get(unserved):
            raise fields.wrong(unserved, "is not served")
    fields.get("annotations")  # what the client was answered before; says nothing to the model
    fields.reject_unknown()
    return message


def _content(fields: Fields) -> str:
    content = fields.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise fields.wrong("content", "must be a string or an array of text parts")
    texts = []
    for index, part in enumerate(content):
        inner = Fields(part, f"{fields.param('content')}[{index}].")
        if inner.get("type") != "text":
            raise inner.wrong("type", "must be 'text': this model reads text only")
        text = inner.get("text")
        if not isinstance(text, str):
            raise inner.wrong("text", "must be a string")
        inner.reject_unknown()
        texts.append(text)
    return "".join(texts)
