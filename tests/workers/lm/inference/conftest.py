"""A real server over a tiny random model, on a real port."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from openai import OpenAI

from tests.waiting import WAIT_S
from tests.workers.lm.inference import tiny
from tests.workers.lm.inference.waiting import wait_until
from workers.lm.inference.exchange import RequestEnd
from workers.lm.inference.server import ServeOptions, serve

SECRET = "s3cret-of-this-test"

torch.set_num_threads(1)


@dataclass
class Served:
    """A running server and what it reported."""

    url: str = ""
    ends: list[RequestEnd] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    hurry: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    error: BaseException | None = None

    def client(self, **options: object) -> OpenAI:
        return OpenAI(
            base_url=f"{self.url}/v1", api_key=SECRET, max_retries=0, timeout=WAIT_S, **options
        )


def start(options: ServeOptions) -> Served:
    served, ready = Served(), threading.Event()

    def on_ready(host: str, port: int) -> None:
        served.url = f"http://{host}:{port}"
        ready.set()

    def run() -> None:
        try:
            serve(
                options, on_ready, served.stop.is_set, served.log.append, served.ends.append,
                should_hurry=served.hurry.is_set,
            )  # fmt: skip
        except BaseException as error:
            served.error = error

    served.thread = threading.Thread(target=run, daemon=True)
    served.thread.start()
    wait_until(lambda: ready.is_set() or not served.thread.is_alive())
    if served.error is not None:
        raise served.error
    return served


@pytest.fixture
def serving() -> Iterator[Callable[[ServeOptions], Served]]:
    """Start servers; all are stopped at the end."""
    started: list[Served] = []

    def begin(options: ServeOptions) -> Served:
        served = start(options)
        started.append(served)
        return served

    yield begin
    for served in started:
        served.stop.set()
        served.hurry.set()
        served.thread.join(timeout=20)


@pytest.fixture(scope="session")
def llama_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def server(llama_dir: Path) -> Iterator[Served]:
    """One tiny Llama for all tests that do not break it."""
    served = start(
        ServeOptions(
            model_dir=llama_dir,
            name="acme/tiny",
            secret=SECRET,
            max_slots=4,
            max_waiting=8,
            fingerprint="fp-abc",
            prefill_chunk=16,
            draft="prompt",
        )
    )
    yield served
    served.stop.set()
    served.thread.join(timeout=20)


@pytest.fixture
def client(server: Served) -> Iterator[OpenAI]:
    with server.client() as connected:
        yield connected
