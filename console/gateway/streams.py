"""Server-sent events on their way through: whole events only, and usage only for who asked for it.

Chunks are searched, never parsed: inside JSON strings every quote is escaped, so `"usage":{` can
only be the key. The replica writes compact JSON.
"""

import enum
import json
import re

from console.gateway.resuming import Progress, may_go_on_elsewhere

#: Counts may have details in objects of their own.
_RUNNING = re.compile(rb',"usage":(\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})')
_FINISH = re.compile(rb'"finish_reason":\s*"(\w{1,40})"')
_LAST_CHUNK = b'"choices":[]'
_USAGE = b'"usage":{'
_DONE = b"data: [DONE]\n\n"
_ERROR = b'data: {"error"'
_END = b"\n\n"
#: An event larger than this is no chunk of a completion.
EVENT_LIMIT = 8 << 20


class Usage(enum.Enum):
    """How much of the replica's token counts the client wants to see."""

    REMOVE = b""  # did not ask
    FINAL = b',"usage":null'  # asked for the last chunk: OpenAI's others then carry null
    KEEP_RUNNING = b"running"  # asked for running counts only
    KEEP = b"all"


class EventStream:
    """Takes bytes as they come and gives back what the client may see of them."""

    __slots__ = (
        "_counted",
        "_mode",
        "_rest",
        "done",
        "events",
        "failed",
        "finish",
        "kept",
        "leaving",
        "progress",
    )

    def __init__(self, mode: Usage) -> None:
        self._mode = mode
        self._rest = b""
        self._counted = b""
        self.progress = Progress()
        self.events = 0
        self.finish = ""
        self.done = False
        #: The replica itself has said that it failed.
        self.failed = False
        #: It has said that it goes away: the rest is to be had elsewhere.
        self.leaving = False
        #: What came, before the client's wishes about usage, where somebody wants to keep it.
        self.kept: list[bytes] | None = None

    def feed(self, chunk: bytes) -> bytes:
        """The complete events so far; what is incomplete waits, and is never sent alone."""
        data = self._rest + chunk if self._rest else chunk
        if data.endswith(_END):
            self._rest = b""
        else:
            cut = data.rfind(_END) + 2 if _END in data else 0
            self._rest = data[cut:]
            if len(self._rest) > EVENT_LIMIT:
                raise ValueError("an event without end")
            data = data[:cut]
        if data:
            data = self.progress.take(data)
            if _ERROR in data and may_go_on_elsewhere(data):
                # Never told, as long as somebody can go on.
                data, self.leaving = data[: data.index(_ERROR)], True
            self._look(data)
            if self.kept is not None:
                self.kept.append(data)
            data = self._edit(data)
        return data

    def resume(self) -> None:
        """Another replica goes on: what came of an event of the first one is forgotten."""
        self._rest, self.leaving = b"", False

    def _look(self, data: bytes) -> None:
        self.events += data.count(_END)
        if _USAGE in data:
            self._counted = data
        if b'"finish_reason":"' in data and (found := _FINISH.search(data)):
            self.finish = found.group(1).decode()
            self.progress.ended(data)
        if data.endswith(_DONE):
            self.done = True
            self.events -= 1
        elif _ERROR in data:
            self.failed = True

    def _edit(self, data: bytes) -> bytes:
        if self._mode is Usage.KEEP:
            return data
        if _LAST_CHUNK in data:
            return b"".join(map(self._edit_event, data.split(_END)[:-1]))
        if self._mode is Usage.KEEP_RUNNING:
            return data
        return _RUNNING.sub(self._mode.value, data)

    def _edit_event(self, event: bytes) -> bytes:
        if _LAST_CHUNK in event:
            return event + _END if self._mode is Usage.FINAL else b""
        if self._mode is not Usage.KEEP_RUNNING:
            event = _RUNNING.sub(self._mode.value, event)
        return event + _END

    def tokens(self) -> tuple[int, int]:
        """(prompt, completion) as the replica counted them last; events where it never did."""
        found = _RUNNING.findall(self._counted)
        if not found:
            return 0, self.events
        return usage_tokens(json.loads(found[-1]))


def usage_tokens(usage: object) -> tuple[int, int]:
    """(prompt, completion) of a usage object; zeros where it is none."""
    if not isinstance(usage, dict):
        return 0, 0
    return _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 2**31 else 0
