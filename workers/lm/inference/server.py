"""A model server: loads one model, proves it, then listens; `serve` or the command line.

python -m workers.lm.inference.server --model-dir DIR --name NAME --secret-file FILE
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from .backend import BACKENDS
from .errors import ModelRefused
from .exchange import RequestEnd, RequestEndHook

if TYPE_CHECKING:
    from .host import EngineHost

OnReady = Callable[[str, int], None]
ShouldStop = Callable[[], bool]
Log = Callable[[str], None]
OnAdapters = Callable[[dict[str, Any]], None]

_POLL = 0.05
EXIT_REFUSED = 2
EXIT_BROKEN = 3


class EngineBroken(Exception):
    """The model failed in a way that the process must not survive."""


@dataclass(frozen=True)
class ServeOptions:
    """Everything a model server needs; `max_context` None takes the model's own."""

    model_dir: Path
    name: str
    secret: str
    host: str = "127.0.0.1"
    port: int = 0
    threads: int = 1
    max_slots: int = 8
    max_context: int | None = None
    max_waiting: int = 64
    prefill_chunk: int = 256
    #: Keep beginnings of prompts for requests that begin alike, in so many MiB.
    prefix_cache: bool = True
    prefix_cache_mb: int = 256
    #: Where guesses come from: "", "prompt", or the name of the n-gram model in `draft_dir`.
    draft: str = ""
    draft_dir: Path | None = None
    draft_tokens: int = 4
    dtype: str = "fp32"
    device: str = "cpu"
    backend: str = "slipway"
    #: Processes that hold one part each of the model.
    tensor_parallel: int = 1
    fingerprint: str = ""
    drain_seconds: float = 20.0
    #: A file that says which adapters are wanted, watched while it serves; see `adapters`.
    wanted: Path | None = None


def serve(
    options: ServeOptions,
    on_ready: OnReady,
    should_stop: ShouldStop,
    log: Log,
    on_request_end: RequestEndHook | None = None,
    on_adapters: OnAdapters | None = None,
) -> None:
    """Serve until `should_stop()` is true, then let running answers finish and return.

    Blocks the calling thread. `on_ready(host, port)` is called once, after the model has
    produced a real token and the port listens. Raises `ModelRefused` where the directory
    cannot be served and `EngineBroken` where the model must not go on. Installs no signal
    handlers, so it can run inside a job's process. `on_adapters` gets what is loaded, first before
    it is ready, then whenever that changes. `log` and `on_adapters` are called from several
    threads; `on_ready`, `should_stop` and `on_request_end` from the calling one, so they must not
    block.
    """
    from .host import EngineHost

    if not options.secret:
        raise ModelRefused("The server needs a secret: without one anybody could call it.")
    host = EngineHost(options, log, on_adapters)
    host.start()
    try:
        if not host.wait_ready(should_stop):
            return
        log(f"ready: {host.summary}")
        with _event_loop() as runner:
            runner.run(_listen(options, host, on_ready, should_stop, log, on_request_end))
    finally:
        host.stop()
    if host.engine.broken:
        raise EngineBroken(host.engine.broken)


def _event_loop() -> asyncio.Runner:
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


class _Uvicorn(uvicorn.Server):
    """Leaves signals to whoever owns the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


async def _listen(
    options: ServeOptions,
    host: EngineHost,
    on_ready: OnReady,
    should_stop: ShouldStop,
    log: Log,
    on_request_end: RequestEndHook | None,
) -> None:
    app = host.app(on_request_end)
    server = _Uvicorn(
        uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
        )
    )
    listener = socket.create_server((options.host, options.port), backlog=512)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not task.done():
        await asyncio.sleep(0.005)
    if task.done():
        await task
        raise EngineBroken("The server could not start to listen.")
    on_ready(*listener.getsockname()[:2])
    while not should_stop() and not host.engine.broken and not task.done():
        await asyncio.sleep(_POLL)
    await _finish(host, lambda: app.active, options.drain_seconds, log)
    server.should_exit = True
    await task


async def _finish(host: EngineHost, active: Callable[[], int], seconds: float, log: Log) -> None:
    """Let running answers end; what is left after the grace period fails with an error frame."""
    host.engine.drain()
    deadline = time.monotonic() + (2.0 if host.engine.broken else seconds)
    while active() and time.monotonic() < deadline:
        await asyncio.sleep(_POLL)
    if active():
        log(f"stopping with {active()} requests unfinished")
    host.engine.stop()
    deadline = time.monotonic() + 2.0
    while active() and time.monotonic() < deadline:
        await asyncio.sleep(_POLL)


# ---- command line --------------------------------------------------------------------------


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="workers.lm.inference.server", description=__doc__)
    parser.add_argument("--model-dir", type=Path, required=True)
    parser.add_argument("--name", required=True, help="the model's public name")
    parser.add_argument("--secret-file", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--ready-file", type=Path, help="written when the server takes calls")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-slots", type=int, default=8)
    parser.add_argument("--max-context", type=int)
    parser.add_argument("--max-waiting", type=int, default=64)
    parser.add_argument("--prefill-chunk", type=int, default=256)
    parser.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--prefix-cache", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--prefix-cache-mb", type=int, default=256)
    parser.add_argument("--draft", default="", help='"prompt", or a name for --draft-dir')
    parser.add_argument("--draft-dir", type=Path, help="an n-gram model with the same tokenizer")
    parser.add_argument("--draft-tokens", type=int, default=4)
    parser.add_argument("--backend", choices=BACKENDS, default="slipway")
    parser.add_argument("--fingerprint", default="")
    parser.add_argument("--tensor-parallel", type=int, default=1, help="processes to split it over")
    parser.add_argument("--wanted", type=Path, help="the file that says which adapters to have")
    parser.add_argument("--drain-seconds", type=float, default=20.0)
    arguments = parser.parse_args(argv)
    for name in ("threads", "max_slots", "max_waiting", "prefill_chunk", "draft_tokens"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    return arguments


def _options(arguments: argparse.Namespace) -> ServeOptions:
    values = vars(arguments).copy()
    values.pop("ready_file")
    secret = values.pop("secret_file").read_text("utf-8").strip()
    return ServeOptions(secret=secret, **values)


def _write_ready(path: Path | None, host: str, port: int) -> None:
    if path is None:
        return
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps({"host": host, "port": port, "pid": os.getpid()}), "utf-8")
    partial.replace(path)


def _log(line: str) -> None:
    sys.stderr.write(line.replace("\n", " ") + "\n")
    sys.stderr.flush()


def _log_end(record: RequestEnd) -> None:
    _log("request " + json.dumps(record.as_dict()))


def main(argv: list[str] | None = None) -> int:
    """Command line; exits 0 after SIGTERM, 2 for a refused model, 3 for a broken one."""
    arguments = _arguments(sys.argv[1:] if argv is None else argv)
    stopping = threading.Event()

    def stop(number: int, frame: Any) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        serve(
            _options(arguments),
            lambda host, port: _write_ready(arguments.ready_file, host, port),
            stopping.is_set,
            _log,
            _log_end,
        )
    except ModelRefused as error:
        _log(f"refused: {error}")
        return EXIT_REFUSED
    except EngineBroken as error:
        _log(f"broken: {error}")
        return EXIT_BROKEN
    return 0


if __name__ == "__main__":
    sys.exit(main())
