"""An answer in its other form: the events of a whole one, the whole of a stream's events.

For chat and text completions of plain text; None for whatever holds more than that.
"""

import json
from typing import Any

_DATA = b"data: "
DONE = b"data: [DONE]\n\n"
_FRAME = ("id", "object", "created", "model", "system_fingerprint")
_CHUNKS = {"chat.completion": "chat.completion.chunk", "text_completion": "text_completion"}
_WHOLES = {chunk: whole for whole, chunk in _CHUNKS.items()}
_SAID = frozenset({"role", "content", "refusal"})


def as_events(body: bytes) -> bytes | None:
    """The stream that a whole answer would have been, with usage in every chunk."""
    answer = json.loads(body)
    kind = _CHUNKS.get(answer.get("object", ""))
    if kind is None:
        return None
    frame = _frame(answer, kind)
    usage, events = answer.get("usage"), []
    for choice in answer["choices"]:
        said: dict[str, Any] = {"index": choice["index"]}
        if "message" in choice:
            if not choice["message"].keys() <= _SAID or choice["message"].get("refusal"):
                return None
            said["delta"] = {k: choice["message"].get(k) for k in ("role", "content")}
        else:
            said["text"] = choice["text"]
        said["logprobs"] = choice.get("logprobs")
        said["finish_reason"] = choice["finish_reason"]
        events.append(_event({**frame, "choices": [said], "usage": usage}))
    return b"".join([*events, _event({**frame, "choices": [], "usage": usage}), DONE])


def as_whole(events: bytes) -> bytes | None:
    """The whole answer that a complete stream amounts to."""
    chunks = [json.loads(e[len(_DATA) :]) for e in events[: -len(DONE)].split(b"\n\n") if e]
    kind = _WHOLES.get(chunks[0].get("object", "")) if chunks else None
    if kind is None:
        return None
    said: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            if choice.get("delta", {}).keys() - _SAID:
                return None  # calls of tools and the like are not put together here
            _add(said.setdefault(choice["index"], {}), choice)
    choices = [_choice(index, said[index]) for index in sorted(said)]
    frame = _frame(chunks[0], kind)
    return _json({**frame, "choices": choices, "usage": chunks[-1].get("usage")})


def _add(so_far: dict[str, Any], choice: dict[str, Any]) -> None:
    delta = choice.get("delta")
    if delta is None:
        so_far.setdefault("text", []).append(choice.get("text") or "")
    else:
        so_far.setdefault("content", []).append(delta.get("content") or "")
    so_far["finish"] = choice.get("finish_reason") or so_far.get("finish")
    for name, values in (choice.get("logprobs") or {}).items():
        kept = so_far.setdefault("logprobs", {})
        kept[name] = [*(kept.get(name) or []), *values] if values is not None else kept.get(name)


def _choice(index: int, said: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"index": index}
    if "content" in said:
        text = "".join(said["content"])
        found["message"] = {"role": "assistant", "content": text, "refusal": None}
    else:
        found["text"] = "".join(said["text"])
    return {**found, "logprobs": said.get("logprobs"), "finish_reason": said["finish"]}


def _frame(answer: dict[str, Any], kind: str) -> dict[str, Any]:
    return {name: answer[name] for name in _FRAME if name in answer} | {"object": kind}


def _event(body: dict[str, Any]) -> bytes:
    return _DATA + _json(body) + b"\n\n"


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
