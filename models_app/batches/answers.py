"""From the parts that a job saved to the files that people get: one line a request, in order."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def merge(parts: Iterable[Path], folder: Path) -> dict[str, Any]:
    """Write output.jsonl and errors.jsonl into `folder` (and rows.jsonl: texts for a dataset).

    A line of a part is {n, custom_id, status, body, text}, where `n` is the number of the request
    and `text` what was asked, if that shall be kept. An answer that stands in two parts counts
    once. Returns {output: {lines}, errors: {lines}, prompt_tokens, completion_tokens}.
    """
    folder.mkdir(parents=True, exist_ok=True)
    places = _places(parts)
    figures: dict[str, Any] = {
        "output": {"lines": 0}, "errors": {"lines": 0}, "prompt_tokens": 0, "completion_tokens": 0,
    }  # fmt: skip
    with (
        (folder / "output.jsonl").open("wb") as output,
        (folder / "errors.jsonl").open("wb") as errors,
        (folder / "rows.jsonl").open("wb") as rows,
    ):
        for number in sorted(places):
            row = _row(*places[number])
            good = row["status"] == 200
            (output if good else errors).write(_line(_shape(row)))
            figures["output" if good else "errors"]["lines"] += 1
            usage = row["body"].get("usage") or {} if good else {}
            for name in ("prompt_tokens", "completion_tokens"):
                figures[name] += usage.get(name) or 0
            if good and row.get("text") is not None:
                rows.write(_line(_exchange(row)))
    return figures


def _places(parts: Iterable[Path]) -> dict[int, tuple[Path, int]]:
    """Number of the request -> file and byte where its answer begins."""
    found: dict[int, tuple[Path, int]] = {}
    for part in parts:
        offset = 0
        with part.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    found.setdefault(json.loads(line)["n"], (part, offset))
                offset += len(line)
    return found


def _row(part: Path, offset: int) -> dict[str, Any]:
    with part.open("rb") as lines:
        lines.seek(offset)
        row: dict[str, Any] = json.loads(lines.readline())
    return row


def _shape(row: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's line of an output or error file."""
    return {
        "id": f"batch_req_{row['n'] + 1}",
        "custom_id": row["custom_id"],
        "response": {
            "status_code": row["status"],
            "request_id": f"batch_req_{row['n'] + 1}",
            "body": row["body"],
        },
        "error": None,
    }


def _exchange(row: dict[str, Any]) -> dict[str, Any]:
    """What was asked and answered, as a row of a dataset of conversations."""
    choice = (row["body"].get("choices") or [{}])[0]
    said = (choice.get("message") or {}).get("content") or choice.get("text") or ""
    return {
        "messages": [
            {"role": "user", "content": row["text"]},
            {"role": "assistant", "content": said},
        ]
    }


def _line(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
