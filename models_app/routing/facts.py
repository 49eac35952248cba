"""What is known of a request when its route is decided."""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from models_app.routing.language import guess_language

TASK_HEADER = "x-slipway-task"
#: Characters of scripts that are about a token each; elsewhere about four make one.
_DENSE = re.compile("[\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]+")


@dataclass
class Facts:
    """`tenant`, `token` and `user` come from the key, the rest from the request itself.

    The prompt is looked at only when a rule asks, and once.
    """

    #: The team that a key is bound to; for a key of several teams the team of the route.
    tenant: str = ""
    #: First characters of the token; its name; the mail address of its owner.
    token: str = ""
    token_name: str = ""
    user: str = ""
    #: Lower-case names.
    headers: Mapping[str, str] = field(default_factory=dict)
    endpoint: str = "chat.completions"
    stream: bool = False
    at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    #: The request's own name, for routes that are not sticky.
    request: str = ""
    read_body: Callable[[], Mapping[str, Any]] = dict

    @cached_property
    def body(self) -> Mapping[str, Any]:
        """The request's JSON object."""
        return self.read_body()

    @cached_property
    def task(self) -> str:
        """What the caller says that the request is for."""
        said = self.headers.get(TASK_HEADER)
        if said is None:
            metadata = self.body.get("metadata")
            said = metadata.get("task") if isinstance(metadata, Mapping) else None
        return said if isinstance(said, str) else ""

    @cached_property
    def prompt(self) -> str:
        """All texts that the model reads, one after the other."""
        return "\n".join(_texts(self.body))

    @cached_property
    def characters(self) -> int:
        return len(self.prompt)

    @cached_property
    def tokens(self) -> int:
        """An estimate that needs no tokenizer."""
        dense = 0 if self.prompt.isascii() else sum(map(len, _DENSE.findall(self.prompt)))
        return dense + (len(self.prompt) - dense + 3) // 4

    @cached_property
    def language(self) -> str:
        """Of what was said last: a long instruction in English asks no English question."""
        return guess_language(_last(self.body))


def _texts(body: Mapping[str, Any]) -> list[str]:
    messages = body.get("messages")
    if isinstance(messages, list):
        found = [t for m in messages if isinstance(m, Mapping) for t in _parts(m.get("content"))]
        return found
    return _parts(body.get("prompt"))


def _last(body: Mapping[str, Any]) -> str:
    messages = body.get("messages")
    if isinstance(messages, list):
        for message in reversed(messages):
            if isinstance(message, Mapping) and message.get("role") == "user":
                return "\n".join(_parts(message.get("content")))
    return "\n".join(_texts(body))


def _parts(content: Any) -> list[str]:
    """A text, or the texts of a list of parts."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    found = [p.get("text") if isinstance(p, Mapping) else p for p in content]
    return [text for text in found if isinstance(text, str)]
