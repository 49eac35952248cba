"""What a caller can be told: every error has a status, a stable code and a sentence to act on."""

from __future__ import annotations

from typing import Any


class ServingError(Exception):
    """An error with its HTTP status and OpenAI's error object."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """The error as OpenAI's clients read it."""
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }


class BadRequest(ServingError):
    """The request itself is wrong; sending it again will not help."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(400, message, code=code or "invalid_value", param=param)


class ContextTooLong(BadRequest):
    """Prompt and answer together do not fit the model's context."""

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message, param=param, code="context_length_exceeded")


class QueueFull(ServingError):
    """Every slot and every place in the queue is taken."""

    def __init__(self, waiting: int, retry_after: int) -> None:
        super().__init__(
            429,
            f"The model server is busy: {waiting} requests are waiting. "
            f"Try again in {retry_after} s.",
            code="queue_full",
            kind="rate_limit_error",
            retry_after=retry_after,
        )


class Draining(ServingError):
    """The server finishes what runs and takes nothing new."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "This model server is shutting down. Send the request again.",
            code="draining",
            kind="server_error",
            retry_after=1,
        )


class DeadlinePassed(ServingError):
    """A request had not begun when the time that its caller gave it was over."""

    def __init__(self, waited: float) -> None:
        super().__init__(
            408,
            f"The request waited {waited:.1f} s for its turn, and its deadline passed before "
            "anything was computed. Send it again with more time, or when there is less to do.",
            code="deadline_exceeded",
            kind="timeout_error",
        )


class ServerStopped(ServingError):
    """The server ended before the answer did: another one can give it, or the rest of it."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "The model server stopped before the answer was complete. Send the request again.",
            code="server_stopped",
            kind="server_error",
            retry_after=1,
        )


class GenerationFailed(ServingError):
    """The engine could not finish a request it had accepted."""

    def __init__(self, message: str, *, code: str = "generation_failed") -> None:
        super().__init__(500, message, code=code, kind="server_error")


class ModelRefused(Exception):
    """The model directory cannot be served; the message says why."""


class UnsupportedAttention(Exception):
    """The model does something in attention that the packed forward does not compute."""
