"""What every refusal of the API must look like."""

from typing import Any

PROBLEM = "application/problem+json"


def check_problem(answer: Any) -> bool:
    """Whether an answer is a whole problem document that agrees with its own status."""
    if answer.get("Content-Type", "").split(";")[0] != PROBLEM:
        return False
    body = answer.json()
    whole = all(body.get(name) for name in ("type", "title", "detail", "code", "request_id"))
    return whole and body["status"] == answer.status_code
