"""What requests of a deployment have cost so far, and from it what the next one will."""

import time
from typing import Any

#: Work is counted in tokens written; reading one costs about a tenth of that.
READ = 0.1
#: Share of the newest request in what is learnt.
_NEW = 0.1
#: Before anything is known: bytes of a token, tokens of an answer.
BYTES_PER_TOKEN = 4.0
ANSWER = 64.0
#: Tokens of a prompt beyond these are no evidence of what a byte is worth.
_LEAST_TOKENS = 4
#: How long refused callers are told to stay away at most.
LONGEST_S = 60.0


class Experience:
    """Of one revision, in this process."""

    __slots__ = ("_backlog", "_backlog_at", "answer", "bytes_per_token", "seconds")

    def __init__(self) -> None:
        self.bytes_per_token = BYTES_PER_TOKEN
        self.answer = ANSWER
        #: How long a request occupies a replica; 0 while unknown.
        self.seconds = 0.0
        #: Refused callers who will come back.
        self._backlog = 0.0
        self._backlog_at = time.monotonic()

    def work(self, size: int, most: int | None, width: int) -> float:
        """Of a prompt of so many bytes that may write at most so many tokens, so many times."""
        answer = self.answer if most is None else min(float(most), self.answer)
        return size / self.bytes_per_token * READ + answer * width

    def note(self, size: int, prompt: int, completion: int, width: int, seconds: float) -> float:
        """A request was answered; returns what its work has been."""
        if prompt >= _LEAST_TOKENS and size:
            self.bytes_per_token += _NEW * (size / prompt - self.bytes_per_token)
        if completion:
            self.answer += _NEW * (completion / width - self.answer)
        first = not self.seconds
        self.seconds = seconds if first else self.seconds + _NEW * (seconds - self.seconds)
        return prompt * READ + completion

    def refused(self, waiting: int, busy: int) -> float:
        """Seconds after which a caller who is refused now should come again.

        So many wait and so many are served side by side: the line moves at `busy` a service time.
        Everyone who was refused lately will be back, and gets a later moment than the one before.
        """
        now = time.monotonic()
        rate = max(busy, 1) / (self.seconds or 1.0)
        self._backlog = max(0.0, self._backlog - rate * (now - self._backlog_at))
        self._backlog_at = now
        seconds = (waiting + 1 + self._backlog) / rate
        if seconds < LONGEST_S:
            self._backlog += 1
        return min(max(seconds, 1.0), LONGEST_S)

    def wait(self, ahead: int, busy: int) -> float:
        """Seconds until so many in line have been served; 0 while unknown."""
        return ahead * self.seconds / max(busy, 1)


def most_tokens(fields: dict[str, Any]) -> int | None:
    """What the request says its answer may be long at most."""
    for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
        value = fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def choices(fields: dict[str, Any]) -> int:
    """How many answers at once are asked for, as far as a replica would take it."""
    value = fields.get("n")
    several = fields.get("prompt")
    prompts = 1
    if isinstance(several, list) and several and not isinstance(several[0], int):
        prompts = min(len(several), 1024)
    return prompts * (value if isinstance(value, int) and 0 < value <= 128 else 1)
