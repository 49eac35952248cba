"""A model server without a model: the same HTTP, and whatever misbehaviour a test asks for."""

import asyncio
import contextlib
import json
import math
import threading
from collections.abc import Callable, Iterator

WORDS = ["Par", "cels", " are", " late", "."]
USAGE = {"prompt_tokens": 7, "completion_tokens": len(WORDS), "total_tokens": 7 + len(WORDS)}


REFUSALS = {
    "stranger": (401, "invalid_api_key"),
    "queue_full": (429, "queue_full", "retry-after: 3\r\n"),
    "draining": (503, "draining", "retry-after: 1\r\n"),
    "broken": (500, "generation_failed", "x-should-retry: false\r\n"),
    "stopped": (503, "server_stopped", "retry-after: 1\r\n"),
}


class FakeReplica:
    """Listens on a free port in a thread; `mode` may be changed between calls.

    ok, queue_full, draining, broken (500), drop (no answer), die (after `die_after` events),
    endless (streams until the client leaves), silent (never answers), stranger (401).
    """

    def __init__(self, mode: str = "ok") -> None:
        self.mode = mode
        self.die_after = 2
        self.pause_s = 0.0
        self.slots = 16
        #: Log-probabilities are given to whoever asks.
        self.scored = True
        #: Those it has loaded; None: whatever is asked for.
        self.adapters: set[str] | None = None
        #: ok, or silent: it does not say how it is.
        self.health = "ok"
        self.headers: list[dict[str, str]] = []
        self.secret = ""
        self.words = WORDS
        #: The answer to a body, in place of the words.
        self.says: Callable[[dict], str] | None = None
        #: A text that is echoed has a log-probability of -1 for each of its words, of these -5.
        self.unlikely: set[str] = set()
        self.port = 0
        self.calls: list[dict] = []
        self.request_ids: list[str] = []
        self.hung_up = threading.Event()
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task] = set()

    def start(self) -> "FakeReplica":
        self._thread.start()
        self._do(self._listen(0))
        return self

    def stop_listening(self) -> None:
        """As if the process were gone: connections break, new ones are refused."""
        self._do(self._close())

    def listen_again(self) -> None:
        self._do(self._listen(self.port))

    def stop(self) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _do(self, work) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self, port: int) -> None:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(self, reader, writer) -> None:
        self.connections += 1
        self._tasks.add(asyncio.current_task())
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(asyncio.current_task())
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                writer.close()

    async def _one(self, reader, writer) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = head.split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:] if x)}
        body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))) or b"{}")
        path = lines[0].split()[1]
        if path == "/health":
            if self.health == "silent":
                await self._until_left(reader)
                return False
            return await self._health(writer, headers)
        self.headers.append(headers)
        self.request_ids.append(headers.get("x-request-id", ""))
        self.calls.append(body)
        mode = self.mode
        refusal = self._refusal(headers, body)
        if refusal is not None:
            return await self._error(writer, *refusal)
        if mode == "drop":
            writer.transport.abort()
            return False
        if mode == "silent":
            await self._until_left(reader)
            return False
        await asyncio.sleep(self.pause_s)
        if body.get("stream"):
            return await self._stream(reader, writer, path, body)
        if mode == "die":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{")
            await writer.drain()
            writer.transport.abort()
            return False
        await self._whole(writer, 200, self._answer(path, body))
        return True

    def _refusal(self, headers, body) -> tuple | None:
        mode = self.mode
        if headers.get("authorization") != f"Bearer {self.secret}":
            mode = "stranger"
        if mode in REFUSALS:
            return REFUSALS[mode]
        adapter = headers.get("x-slipway-adapter")
        if adapter and self.adapters is not None and adapter not in self.adapters:
            return 404, "adapter_not_loaded"
        if body.get("max_tokens") == 0 and not (body.get("echo") and self.scored):
            return 400, "invalid_value", "x-should-retry: false\r\n"
        return None

    async def _health(self, writer, headers) -> bool:
        """How it is, for whoever knows its secret."""
        if headers.get("authorization") != f"Bearer {self.secret}":
            return await self._error(writer, 401, "invalid_api_key")
        state = "draining" if self.mode == "draining" else "ready"
        said = {"state": state, "running": 0, "waiting": 0, "slots": self.slots}
        said["adapters"] = sorted(self.adapters or ())
        await self._whole(writer, 200, said)
        return True

    def _answer(self, path: str, body: dict) -> dict:
        choice = {"index": 0, "finish_reason": "stop", "logprobs": None}
        text = "".join(self.words) if self.says is None else self.says(body)
        if body.get("echo"):
            text = body["prompt"]
            words = text.split()
            own = [-5.0 if word in self.unlikely else -1.0 for word in words]
            choice["logprobs"] = {"tokens": words, "token_logprobs": [None, *own[1:]]}
        if "chat" in path:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None}
            kind = "chat.completion"
        else:
            choice["text"] = text
            kind = "text_completion"
        return {**self._frame(body, kind), "choices": [choice], "usage": USAGE}

    def _frame(self, body: dict, kind: str) -> dict:
        return {
            "id": "cmpl-1",
            "object": kind,
            "created": 1,
            "model": body["model"],
            "system_fingerprint": "fake",
        }

    def _events(self, path: str, body: dict) -> Iterator[bytes]:
        options = body.get("stream_options") or {}
        frame = self._frame(body, "chat.completion.chunk" if "chat" in path else "text_completion")
        number = 0
        while self.mode == "endless" or number < len(self.words):
            word = self.words[number % len(self.words)]
            number += 1
            last = number == len(self.words) and self.mode != "endless"
            choice = {"index": 0, "finish_reason": "stop" if last else None, "logprobs": None}
            choice.update({"delta": {"content": word}} if "chat" in path else {"text": word})
            if body.get("logprobs") and self.scored:
                choice["logprobs"] = scores(word, number, legacy="chat" not in path)
            chunk = {**frame, "choices": [choice]}
            usage = {"prompt_tokens": 7, "completion_tokens": number, "total_tokens": 7 + number}
            if options.get("continuous_usage_stats"):
                chunk["usage"] = usage
            elif options.get("include_usage"):
                chunk["usage"] = None
            yield event(chunk)
        if options.get("include_usage"):
            yield event({**frame, "choices": [], "usage": USAGE})
        yield b"data: [DONE]\n\n"

    async def _stream(self, reader, writer, path: str, body: dict) -> bool:
        if self.mode != "die" or self.die_after:
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                b"transfer-encoding: chunked\r\n\r\n"
            )
        left = asyncio.ensure_future(self._until_left(reader)) if self.mode == "endless" else None
        for number, data in enumerate(self._events(path, body)):
            if self.mode == "die" and number == self.die_after:
                # Half an event first: it must never reach the client.
                writer.write(b'9\r\ndata: {"c\r\n')
                await writer.drain()
                await asyncio.sleep(0.05)
                writer.transport.abort()
                return False
            if self.mode == "failing" and number == 2:
                data = event({"error": {"message": "broke", "code": "generation_failed"}})
                writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))
                return True
            # In two pieces, so that events do not come whole.
            half = len(data) // 2
            writer.write(b"%x\r\n%s\r\n" % (half, data[:half]))
            writer.write(b"%x\r\n%s\r\n" % (len(data) - half, data[half:]))
            await writer.drain()
            await asyncio.sleep(self.pause_s)
            if left is not None and left.done():
                return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def _until_left(self, reader) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(1)
        self.hung_up.set()

    async def _error(self, writer, status: int, code: str, extra: str = "") -> bool:
        body = {"error": {"message": f"fake {code}", "type": "x", "param": None, "code": code}}
        await self._whole(writer, status, body, extra)
        return True

    async def _whole(self, writer, status: int, body: dict, extra: str = "") -> None:
        raw = json.dumps(body, separators=(",", ":")).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{extra}"
        writer.write(f"{head}content-length: {len(raw)}\r\n\r\n".encode() + raw)
        await writer.drain()


def scores(word: str, number: int, *, legacy: bool) -> dict:
    """Log-probabilities of a token, less likely with each number, and of one alternative."""
    own, other = math.log(1 / number), math.log(0.05)
    if legacy:
        top = [{word: own, " else": other}]
        return {"tokens": [word], "token_logprobs": [own], "top_logprobs": top, "text_offset": [0]}
    named = [
        {"token": text, "logprob": logprob, "bytes": list(text.encode())}
        for text, logprob in ((word, own), (" else", other))
    ]
    return {"content": [{**named[0], "top_logprobs": named}], "refusal": None}


def event(body: dict) -> bytes:
    """One server-sent event, compact as the model server writes it."""
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"
