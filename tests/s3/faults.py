"""Between two that speak HTTP, such as Slipway and a bucket: a proxy that fails as it is told."""

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Fault:
    """What happens to the next `times` requests of this method whose path contains `part`."""

    method: str
    part: str
    kind: str
    times: int
    #: Called when it strikes, before anything else happens.
    then: Callable[[], None] = lambda: None
    #: Bytes of an answer or a request that still get through.
    after: int = 0


class FaultyProxy:
    """Forwards to `port` unless a fault is due; `requests` are (method, path) in their order."""

    def __init__(self, port: int) -> None:
        self.port, self.faults, self.requests = port, list[Fault](), list[tuple[str, str]]()
        self.lock, self.quiet = threading.Lock(), threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def forward(self) -> None:
                outer.forward(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = forward

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def add(self, method: str, part: str, kind: str, times: int = 1, **more: object) -> None:
        """`kind`: an HTTP status, or "cut", "hang up", "lost", "silent", "none"."""
        self.faults.append(Fault(method, part, kind, times, **more))  # type: ignore[arg-type]

    def count(self, method: str, part: str) -> int:
        return sum(m == method and part in path for m, path in self.requests)

    def close(self) -> None:
        self.quiet.set()
        self.server.shutdown()
        self.server.server_close()

    def _due(self, method: str, path: str) -> Fault | None:
        with self.lock:
            self.requests.append((method, path))
            for fault in self.faults:
                if fault.times and fault.method == method and fault.part in path:
                    fault.times -= 1
                    return fault
        return None

    def forward(self, handler: BaseHTTPRequestHandler) -> None:
        fault = self._due(handler.command, handler.path)
        length = int(handler.headers.get("Content-Length") or 0)
        if handler.headers.get("Expect"):
            handler.send_response_only(100)
            handler.end_headers()
        body = handler.rfile.read(length)
        if not (fault and self._strikes(fault, handler)):
            self._pass_on(handler, body, fault)

    def _strikes(self, fault: Fault, handler: BaseHTTPRequestHandler) -> bool:
        """Whether that was all: the request goes no further."""
        fault.then()
        if fault.kind.isdigit():
            handler.send_response(int(fault.kind))
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return True
        if fault.kind == "silent":
            self.quiet.wait(30)
        handler.close_connection = fault.kind in ("silent", "hang up")
        return bool(handler.close_connection)

    def _pass_on(self, handler: BaseHTTPRequestHandler, body: bytes, fault: Fault | None) -> None:
        upstream = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {k: v for k, v in handler.headers.items() if k.lower() != "expect"}
        upstream.request(handler.command, handler.path, body=body, headers=headers)
        answer = upstream.getresponse()
        data = answer.read()
        if fault and fault.kind == "lost":  # done, but nobody hears of it
            handler.close_connection = True
            return
        handler.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                handler.send_header(name, value)
        if not answer.getheader("Content-Length"):
            handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        if fault and fault.kind == "cut":
            handler.wfile.write(data[: fault.after])
            handler.wfile.flush()
            handler.close_connection = True
            handler.connection.close()
            return
        handler.wfile.write(data)
