"""What a file of requests must look like: OpenAI's batch format, one request a line."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.utils import translation
from django.utils.translation import gettext as _

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")
MOST_ROWS = 100_000
MOST_BYTES = 200 << 20
MOST_TOLD = 100
LONGEST_ID = 512


@dataclass
class Rows:
    """How many requests there are, for which model, and what is wrong with the first bad ones."""

    total: int = 0
    model: str = ""
    problems: list[dict[str, Any]] = field(default_factory=list)

    def wrong(self, line: int | None, code: str, message: str, param: str | None = None) -> None:
        """Note a problem; after the first hundred nobody reads on."""
        if len(self.problems) < MOST_TOLD:
            self.problems.append({"code": code, "line": line, "message": message, "param": param})


def rows_read(lines: Iterable[bytes], endpoint: str) -> Rows:
    """Look at every line. Empty lines are passed over.

    Problems are told in English, whoever asks: they are stored, and pages translate them.
    """
    with translation.override("en"):
        return _read(lines, endpoint)


def _read(lines: Iterable[bytes], endpoint: str) -> Rows:
    rows, seen = Rows(), set[str]()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        rows.total += 1
        if rows.total > MOST_ROWS:
            said = _("At most %(most)s requests in one file. Split it.") % {"most": MOST_ROWS}
            rows.wrong(number, "too_many_requests", said)
            break
        _look(rows, number, line, endpoint, seen)
    if not rows.total:
        rows.wrong(None, "empty_file", _("The file has no requests."))
    return rows


def _look(rows: Rows, number: int, line: bytes, endpoint: str, seen: set[str]) -> None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        rows.wrong(number, "invalid_json_line", _("This line is not valid JSON."))
        return
    if not isinstance(row, dict):
        rows.wrong(number, "invalid_json_line", _("This line is not a JSON object."))
        return
    custom = row.get("custom_id")
    if not isinstance(custom, str) or not 0 < len(custom) <= LONGEST_ID:
        said = _("Give it a custom_id of 1 to %(most)s characters.") % {"most": LONGEST_ID}
        rows.wrong(number, "invalid_custom_id", said, "custom_id")
    elif custom in seen:
        said = _("The custom_id %(name)s stands in an earlier line.") % {"name": repr(custom[:80])}
        rows.wrong(number, "duplicate_custom_id", said, "custom_id")
    else:
        seen.add(custom)
    if row.get("method", "POST") != "POST":
        rows.wrong(number, "invalid_method", _("The method must be POST."), "method")
    if row.get("url") != endpoint:
        said = _("The url must be that of the batch, %(url)s.") % {"url": endpoint}
        rows.wrong(number, "invalid_url", said, "url")
    _look_at_body(rows, number, row.get("body"))


def _look_at_body(rows: Rows, number: int, body: Any) -> None:
    if not isinstance(body, dict):
        rows.wrong(number, "invalid_body", _("The body must be an object."), "body")
        return
    model = body.get("model")
    if not isinstance(model, str) or not model:
        rows.wrong(number, "missing_model", _("The body must name a model."), "body.model")
    elif rows.model and model != rows.model:
        said = _("All requests of a batch ask the same model; the first asks %(model)s.")
        rows.wrong(number, "mismatched_model", said % {"model": rows.model[:200]}, "body.model")
    else:
        rows.model = model
    if body.get("stream"):
        rows.wrong(number, "invalid_body", _("Answers of a batch do not stream."), "body.stream")
