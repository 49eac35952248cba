"""What a client has of a streamed answer, so that another replica of the same revision can go on.

In front of each event the model server writes a comment, `: <choice> <tokens> [<characters>]`,
that says which tokens the event stands for. Here it is cut off and kept; it is read only when the
answer has to be resumed, which is seldom.
"""

import json
from typing import Any

#: A stream changes its replica at most so often: what ends every replica must not end all of them.
MOST_RESUMES = 3
FIELD = "slipway_resume"
#: What a model server says of itself when the same request would be answered elsewhere.
_ELSEWHERE = (b'"code":"server_stopped"', b'"code":"draining"')
_MARK = b": "
_END = b"\n\n"


class Progress:
    """How far one streamed answer has come. Takes whole events, in their order."""

    __slots__ = ("_ends", "_first", "_marks")

    def __init__(self) -> None:
        self._marks: list[bytes] = []
        self._ends: list[bytes] = []
        self._first = b""

    def take(self, data: bytes) -> bytes:
        """The events without the comments in front of them."""
        if not data.startswith(_MARK):
            return data
        if data.find(_END) == len(data) - 2:
            mark, _, data = data.partition(b"\n")
            self._marks.append(mark)
            self._first = self._first or data
            return data
        return b"".join(map(self._one, data.split(_END)[:-1]))

    def _one(self, event: bytes) -> bytes:
        event += _END
        return self.take(event) if event.startswith(_MARK) else event

    def ended(self, data: bytes) -> None:
        """These events end a choice or several."""
        self._ends.append(data)

    @property
    def known(self) -> bool:
        """Whether the model server says which tokens it sends."""
        return bool(self._marks)

    def body(self, asked: bytes) -> bytes:
        """The request for the rest of the answer to `asked`."""
        body: dict[str, Any] = json.loads(asked)
        first = json.loads(self._first.partition(b"data: ")[2].partition(b"\n")[0])
        choices: list[dict[str, Any] | None] = [None] * _choices(body)
        for mark in self._marks:
            number, tokens, told = [*mark[2:].split(b" "), b""][:3]
            begun = choices[int(number)] or {"tokens": [], "done": None}
            choices[int(number)] = begun
            begun["tokens"] += map(int, tokens.split(b",")) if tokens else ()
            if told:
                begun["text_length"] = int(told)
        for index, finish in self._finishes():
            ended = choices[index]
            if ended is not None:
                ended["done"] = finish
        body[FIELD] = {"id": first["id"], "created": first["created"], "choices": choices}
        return json.dumps(body).encode()

    def _finishes(self) -> list[tuple[int, str]]:
        lines = b"".join(self._ends).split(b"\n")
        events = [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]
        return [
            (choice["index"], choice["finish_reason"])
            for event in events
            for choice in event.get("choices", ())
            if choice.get("finish_reason")
        ]


def may_go_on_elsewhere(event: bytes) -> bool:
    """Whether this error of a model server is about the server, not about the request."""
    return any(code in event for code in _ELSEWHERE)


def _choices(body: dict[str, Any]) -> int:
    """Choices of an answer: `n` for each prompt."""
    prompt = body.get("prompt")
    each = int(body.get("n") or 1)
    if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
        return each * len(prompt)
    return each
