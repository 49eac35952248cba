"""A steady trickle of requests from the stock openai client, without its own retries."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from openai import APIError, OpenAI

from tests.waiting import WAIT_S

PER_SECOND = 5


class Traffic:
    """Every fifth of a second a request, whole answers and streams by turns, until closed."""

    def __init__(self, url: str, token: str, model: str) -> None:
        self.client = OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0, timeout=30)
        self.model = model
        self.whole = self.streams = self.broken = 0
        #: what failed although nothing of its answer had been sent
        self.failed: list[str] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(24)
        self._clock = threading.Thread(target=self._tick)

    def __enter__(self) -> "Traffic":
        self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._clock.join()
        self._pool.shutdown(wait=True)
        self.client.close()

    def answered(self, more: int) -> None:
        """Wait until so many more requests have come to a good end."""
        wanted = self.whole + self.streams + more
        deadline = time.monotonic() + WAIT_S
        while self.whole + self.streams < wanted:
            assert time.monotonic() < deadline, f"no answers: {self.failed}"
            time.sleep(0.05)

    def open_streams(self, count: int) -> "list[Future[str]]":
        """Long streams, each of which has begun; their ends come later."""
        begun = [threading.Event() for _ in range(count)]
        futures = [self._pool.submit(self._stream, 110, event) for event in begun]
        for event in begun:
            assert event.wait(WAIT_S), "a stream did not begin"
        return futures

    def _tick(self) -> None:
        number, due = 0, time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due += 1 / PER_SECOND
            number += 1
            if number % 2:
                self._pool.submit(self._answer)
            else:
                self._pool.submit(self._stream, 40, threading.Event())

    def _ask(self, tokens: int, **more: Any) -> Any:
        return self.client.completions.create(
            model=self.model, prompt="the ship", max_tokens=tokens, temperature=0.7, **more
        )

    def _answer(self) -> None:
        try:
            self._ask(24)
            self._count("whole")
        except Exception as error:
            with self._lock:
                self.failed.append(f"answer: {error!r}")

    def _stream(self, tokens: int, begun: threading.Event) -> str:
        finished = False
        try:
            for chunk in self._ask(tokens, stream=True):
                begun.set()
                finished = finished or any(choice.finish_reason for choice in chunk.choices)
        except Exception as error:
            if begun.is_set():
                self._count("broken")
                return "error" if isinstance(error, APIError) else repr(error)
            with self._lock:
                self.failed.append(f"stream: {error!r}")
            begun.set()
            return "failed"
        if not finished:
            return "broken without a word"
        self._count("streams")
        return "whole"

    def _count(self, name: str) -> None:
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)
