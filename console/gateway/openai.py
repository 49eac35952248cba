"""What the gateway reads of a request: model and whether to stream; the replica checks the rest.

Running usage is always asked of the replica: tokens are exact even when the client hangs up.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from console.gateway.errors import GatewayError
from console.gateway.streams import Usage

DEPTH_LIMIT = 64
MODEL_LIMIT = 200
#: Path on both sides -> the name in request records.
ENDPOINTS = {"/v1/chat/completions": "chat.completions", "/v1/completions": "completions"}


@dataclass(slots=True)
class Ask:
    """A request as it goes to a replica."""

    model: str
    stream: bool
    body: bytes
    usage: Usage = Usage.REMOVE
    #: The body as the client sent it, read.
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def user(self) -> str:
        """Whom the client names as its own user."""
        user = self.fields.get("user")
        return user[:200] if isinstance(user, str) else ""


def parse_ask(raw: bytes) -> Ask:
    """The ask in a request body, or GatewayError 400."""
    body = _object(raw)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise GatewayError(
            400, "missing_model", "Name the deployment as 'model': \"team/name\".", param="model"
        )
    if len(model) > MODEL_LIMIT:
        raise GatewayError(400, "invalid_model", "The model's name is too long.", param="model")
    if body.get("stream") is not True:
        return Ask(model, False, raw, fields=body)
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        return Ask(model, True, raw, fields=body)  # the replica refuses it, naming the field
    given = options or {}
    counted = {**given, "include_usage": True, "continuous_usage_stats": True}
    sent = json.dumps({**body, "stream_options": counted}).encode()
    return Ask(model, True, sent, _usage(given), body)


def _usage(options: dict[str, Any]) -> Usage:
    if options.get("continuous_usage_stats") is True:
        return Usage.KEEP if options.get("include_usage") is True else Usage.KEEP_RUNNING
    return Usage.FINAL if options.get("include_usage") is True else Usage.REMOVE


def _object(raw: bytes) -> dict[str, Any]:
    try:
        if raw.count(b"[") + raw.count(b"{") > DEPTH_LIMIT and _depth(raw) > DEPTH_LIMIT:
            raise ValueError("nested too deeply")
        body = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise GatewayError(
            400, "invalid_json", f"The request body is not valid JSON: {str(error)[:200]}."
        ) from None
    if not isinstance(body, dict):
        raise GatewayError(400, "invalid_json", "The request body must be a JSON object.")
    return body


def _depth(raw: bytes) -> int:
    """How deeply brackets nest outside strings; runs only where there are many."""
    deepest = now = 0
    for outside in raw.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]:
        for byte in outside:
            if byte in b"[{":
                now += 1
                deepest = max(deepest, now)
            elif byte in b"]}":
                now -= 1
    return deepest


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
