"""Made-up text in which there is something to learn; the same every time."""

import json


def sentences() -> bytes:
    """Four hundred documents, as JSON lines."""
    subjects = ["the ship", "a crane", "the harbour", "one captain", "the tide", "a sailor"]
    verbs = ["lifts", "meets", "carries", "waits for", "signals", "follows"]
    rows = []
    for number in range(400):
        text = " ".join(
            f"{subjects[(number * k + k) % 6]} {verbs[(number + k * k) % 6]} "
            f"{subjects[(number // 6 + k) % 6]} number {number * k % 97}."
            for k in range(1, 12)
        )
        rows.append(json.dumps({"text": text}))
    return "\n".join(rows).encode()
