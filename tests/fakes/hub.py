"""A server with the Hub's read routes that can cut, lie and redirect; standard library only."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "c" * 40


class FakeHub:
    """Serves `files` as team/model. Change its attributes to make it misbehave."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        #: (path, begin, token) of every download, and the bytes that were sent.
        self.asked: list[tuple[str, int, str]] = []
        self.sent = 0
        #: name -> entries of its listing that are other than the truth
        self.lies: dict[str, dict[str, Any]] = {}
        #: name -> bytes after which the connection is cut, once for each entry
        self.cuts: dict[str, list[int]] = {}
        #: name -> where it redirects to
        self.elsewhere: dict[str, str] = {}
        self.ignores_ranges = False
        self.status: list[int] = []
        #: Called before each chunk is sent; may block.
        self.before_chunk: Callable[[str, int], None] = lambda name, at: None
        self.token = ""
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self})
        )
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # readers that were killed hang up
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @classmethod
    def of(cls, folder: Path) -> FakeHub:
        files = (path for path in folder.rglob("*") if path.is_file())
        return cls({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def info(self) -> dict[str, Any]:
        rows = []
        for name, data in self.files.items():
            row: dict[str, Any] = {"rfilename": name, "size": len(data)}
            if name.endswith(".safetensors"):
                digest = hashlib.sha256(data).hexdigest()
                row |= {"blobId": "0" * 40, "lfs": {"sha256": digest, "size": len(data)}}
            else:
                git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False)
                row["blobId"] = git.hexdigest()
            rows.append({**row, **self.lies.get(name, {})})
        return {"id": "team/model", "sha": COMMIT, "siblings": rows}


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def answer(self, status: int, data: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.hub.status:
            self.answer(self.hub.status.pop(0))
        elif self.hub.token and token != self.hub.token:
            self.answer(401)
        elif self.path.startswith("/api/models/team/model/revision/"):
            self.answer(200, json.dumps(self.hub.info()).encode())
        else:
            found = re.fullmatch(r"/(?:team/model/resolve/\w+|cdn)/(.+)", self.path)
            if found and found[1] in self.hub.elsewhere and "/cdn/" not in self.path:
                self.answer(302, Location=self.hub.elsewhere[found[1]])
            elif found and found[1] in self.hub.files:
                self.file(found[1], token)
            else:
                self.answer(404, X_Error_Code="RevisionNotFound")

    def file(self, name: str, token: str) -> None:
        data = self.hub.files[name]
        begin = int(re.sub(r"\D", "", self.headers.get("Range", "0")) or 0)
        begin = 0 if self.hub.ignores_ranges else begin
        self.hub.asked.append((name, begin, token))
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        end = self.hub.cuts[name].pop(0) if self.hub.cuts.get(name) else len(data)
        for at in range(begin, min(end, len(data)), 4096):
            self.hub.before_chunk(name, at)
            piece = data[at : min(at + 4096, end)]
            self.wfile.write(piece)
            self.hub.sent += len(piece)
        if end < len(data):
            self.wfile.flush()
            self.connection.close()
            self.close_connection = True
