"""People who ask a served model all the time, through the stock openai client."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from openai import APIError, OpenAI

from tests.chaos.watch import Watch

#: A replica counts as there when it was there so long before the request.
SETTLED_S = 3.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How one request went: `whole`, `failed` before its first byte, `broken`, or `silent`."""

    begun: float
    ended: float
    how: str
    error: str = ""


class Asking:
    """So many requests a second, whole answers and streams by turns, until closed."""

    def __init__(self, url: str, token: str, model: str, per_second: float = 2.0) -> None:
        self.client = OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0, timeout=20)
        self.model = model
        self.gap_s = 1 / per_second
        self.answers: list[Answer] = []
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(24)
        self._clock = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "Asking":
        self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._clock.join()
        self._pool.shutdown(wait=True)
        self.client.close()

    def counts(self) -> Counter[str]:
        return Counter(answer.how for answer in self.answers)

    def _tick(self) -> None:
        number = 0
        while not self._over.wait(self.gap_s):
            number += 1
            self._pool.submit(self._ask, number % 2 == 0)

    def _ask(self, stream: bool) -> None:
        begun = time.monotonic()
        how, error = self._stream() if stream else self._whole()
        self.answers.append(Answer(begun=begun, ended=time.monotonic(), how=how, error=error))

    def _create(self, tokens: int, **more: Any) -> Any:
        return self.client.completions.create(
            model=self.model, prompt="the ship", max_tokens=tokens, temperature=0.7, **more
        )

    def _whole(self) -> tuple[str, str]:
        try:
            self._create(16)
        except Exception as error:
            return "failed", repr(error)
        return "whole", ""

    def _stream(self) -> tuple[str, str]:
        begun = finished = False
        try:
            for chunk in self._create(30, stream=True):
                begun = True
                finished = finished or any(choice.finish_reason for choice in chunk.choices)
        except Exception as error:
            if not begun:
                return "failed", repr(error)
            return ("broken" if isinstance(error, APIError) else "cut"), repr(error)
        return ("whole", "") if finished else ("silent", "")


def unexcused(answers: list[Answer], watch: Watch) -> list[Answer]:
    """Those that failed although the console and one and the same replica were there all along."""
    return [a for a in answers if a.how in ("failed", "silent") and not _excused(a, watch)]


def _excused(answer: Answer, watch: Watch) -> bool:
    looks = watch.between(answer.begun - SETTLED_S, answer.ended + 1)
    if len(looks) < 2:
        return True
    webs = {look.web for look in looks}
    same = frozenset.intersection(*(look.replicas for look in looks))
    return webs != {looks[0].web} or not looks[0].web or not same
