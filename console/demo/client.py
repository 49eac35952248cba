"""A small client of the public API, with the standard library alone."""

import json
import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen


class ApiError(Exception):
    """The API refused; the message is the problem's own detail."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        errors = problem.get("errors") or {}
        named = "; ".join(f"{field}: {texts[0]}" for field, texts in errors.items())
        super().__init__(f"{status}: {named or problem.get('detail') or problem}")
        self.status, self.problem = status, problem


class Client:
    """Calls `/api/v1/…` with a token; retries while the console restarts."""

    def __init__(self, base_url: str, token: str) -> None:
        self.base_url, self.token = base_url.rstrip("/"), token

    def get(self, path: str, **query: Any) -> Any:
        """A resource or a page of a list."""
        text = f"?{urlencode(query)}" if query else ""
        return self._call("GET", f"{path}{text}")

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Create or act; safe to repeat, thanks to its own Idempotency-Key."""
        data = json.dumps(body or {}).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": secrets.token_hex(8)}
        return self._call("POST", path, data, headers)

    def upload(self, path: str, fields: dict[str, Any], name: str, content: bytes) -> Any:
        """Create by a multipart upload of one file."""
        boundary = secrets.token_hex(16)
        form = "Content-Disposition: form-data"
        parts = [
            f'--{boundary}\r\n{form}; name="{key}"\r\n\r\n{value}\r\n'.encode()
            for key, value in fields.items()
        ]
        head = f'--{boundary}\r\n{form}; name="files"; filename="{name}"\r\n\r\n'
        data = b"".join([*parts, head.encode(), content, f"\r\n--{boundary}--\r\n".encode()])
        return self._call(
            "POST", path, data, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        )

    def find(self, path: str, **query: Any) -> Any:
        """The first row of a list, or None."""
        rows = self.get(path, **query)["results"]
        return rows[0] if rows else None

    def wait(self, path: str, done: Callable[[Any], bool], *, tell: Callable[[Any], None]) -> Any:
        """Ask every second until `done`; `tell` hears every answer."""
        while True:
            row = self.get(path)
            tell(row)
            if done(row):
                return row
            time.sleep(1)

    def _call(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        url = path if path.startswith("http") else f"{self.base_url}{_full(path)}"
        request = Request(url, data=data, method=method, headers=headers or {})
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Accept", "application/json")
        deadline = time.monotonic() + 60
        while True:
            try:
                with urlopen(request, timeout=60) as answer:
                    return json.loads(answer.read() or b"null")
            except HTTPError as error:
                problem = _problem(error)
                if error.code < 500 or method != "GET" or time.monotonic() > deadline:
                    raise ApiError(error.code, problem) from None
            except (URLError, ConnectionError, TimeoutError):
                if time.monotonic() > deadline:
                    raise
            time.sleep(1)


def _full(path: str) -> str:
    return path if path.startswith("/") else f"/api/v1/{path}"


def _problem(error: HTTPError) -> dict[str, Any]:
    try:
        found = json.loads(error.read())
    except ValueError:
        return {"detail": error.reason}
    return found if isinstance(found, dict) else {"detail": str(found)}
