"""A client of the public API that does not lose its patience, and remembers what it was told."""

import json
import threading
import time
from collections import Counter
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from console.demo.client import ApiError, Client


class Caller(Client):
    """Repeats what was not answered, under the same Idempotency-Key, until it is answered."""

    def __init__(self, base_url: str, token: str, patience_s: float = 90) -> None:
        super().__init__(base_url, token)
        self.patience_s = patience_s
        self.statuses: Counter[int] = Counter()
        #: answers that no client should get, also while a server is away
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def _call(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        target = path if path.startswith("/") else f"/api/v1/{path}"
        request = Request(self.base_url + target, data=data, method=method, headers=headers or {})
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Accept", "application/json")
        deadline = time.monotonic() + self.patience_s
        while True:
            status, body = self._once(request)
            if status and status < 400:
                return json.loads(body or b"null")
            if 400 <= status < 500:
                raise ApiError(status, _object(body))
            if time.monotonic() > deadline:
                raise ApiError(status, {"detail": f"{method} {path}: not answered in time"})
            time.sleep(0.3)

    def _once(self, request: Request) -> tuple[int, bytes]:
        """Status and body; 0 when nobody answered."""
        try:
            with urlopen(request, timeout=30) as answer:
                status, body = answer.status, answer.read()
        except HTTPError as error:
            status, body = error.code, error.read()
        except (URLError, OSError):
            status, body = 0, b""
        with self._lock:
            self.statuses[status] += 1
            if status >= 500 and status != 503:
                self.wrong.append(f"{request.method} {request.selector}: {status} {body[:200]!r}")
        return status, body


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {"detail": body[:200].decode(errors="replace")}
    return found if isinstance(found, dict) else {"detail": str(found)}
