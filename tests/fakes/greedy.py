"""A model server on a real port that answers greedily and names its tokens, as replicas do."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from models_app.deployments.secrets import replica_secret


class Greedy:
    """Says of each prompt its reverse, unless `says` gives something else; keeps what it heard."""

    def __init__(self, replica) -> None:
        self.says: dict[str, str] = {}
        self.heard: list[dict] = []
        self.most = 10_000
        self.names_tokens = True
        #: Statuses to refuse with first.
        self.refusals: list[int] = []
        secret = f"Bearer {replica_secret(replica.pk, replica.epoch)}"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.heard.append(body)
                if self.headers["authorization"] != secret:
                    return self.refuse(401)
                if outer.refusals:
                    return self.refuse(outer.refusals.pop(0))
                if body["max_tokens"] > outer.most:
                    return self.refuse(400)
                return self.answer(outer.says.get(body["prompt"], body["prompt"][::-1]))

            def refuse(self, status: int) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b'{"error": {"message": "no"}}')

            def answer(self, text: str) -> None:
                self.send_response(200)
                self.end_headers()
                for sign in text:
                    if outer.names_tokens and self.headers["x-slipway-tokens"] == "1":
                        self.wfile.write(f": 0 {ord(sign)}\n".encode())
                    event = {"choices": [{"index": 0, "text": sign}]}
                    self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                self.wfile.write(b"data: [DONE]\n\n")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
