"""What callers of `/v1` can be told: OpenAI's error object, a status, whether to try again."""

import json
import math
from typing import Any


class GatewayError(Exception):
    """An answer that is no success. `retry_after` (seconds) says that trying again makes sense."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.kind = kind
        self.param = param
        self.retry_after = retry_after

    def body(self, **extra: Any) -> bytes:
        """The error as OpenAI's clients read it."""
        error = {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
            **extra,
        }
        # What a caller sent may hold half of a surrogate pair, which no UTF-8 can write.
        return json.dumps({"error": error}, ensure_ascii=False).encode("utf-8", "replace")

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers that tell stock clients whether to send the request again."""
        again = self.retry_after is not None
        found = [(b"x-should-retry", b"true" if again else b"false")]
        if self.retry_after is not None:
            # Whole seconds for everybody, and the exact moment for clients who read it.
            found.append((b"retry-after", b"%d" % math.ceil(self.retry_after)))
            found.append((b"retry-after-ms", b"%d" % (self.retry_after * 1000)))
        if self.status == 401:
            found.append((b"www-authenticate", b'Bearer realm="slipway"'))
        return found


def unauthorized() -> GatewayError:
    """Missing, unknown, expired and revoked keys are not told apart."""
    return GatewayError(
        401,
        "invalid_api_key",
        "This API key is missing, unknown, expired or revoked. "
        "Send 'Authorization: Bearer slip_…'.",
        kind="authentication_error",
    )


def scope_missing(scope: str) -> GatewayError:
    """The key is good, but not for this."""
    return GatewayError(
        403,
        "insufficient_scope",
        f"This API key lacks the scope '{scope}'. Make a key that has it.",
        kind="permission_error",
    )


def model_not_found(model: str) -> GatewayError:
    """Unknown deployments and those of other teams look the same."""
    return GatewayError(
        404,
        "model_not_found",
        f"The model '{model[:200]}' does not exist or you do not have access to it.",
        param="model",
    )


def no_adapter(route: str, adapter: str, known: list[str]) -> GatewayError:
    """A route was asked for an adapter that nothing has to which it sends this caller."""
    hint = f"It has {', '.join(known[:20])}." if known else "It has none."
    return GatewayError(
        404,
        "model_not_found",
        f"Where the route '{route}' sends this request there is no adapter '{adapter[:80]}'. "
        f"{hint} Ask for one that it has, or for '{route}' alone.",
        param="model",
    )


def no_replica(model: str) -> GatewayError:
    """Nothing that could answer came up in time."""
    return GatewayError(
        503,
        "no_replica_ready",
        f"No replica of '{model}' is ready. It may be starting; try again shortly.",
        kind="server_error",
        retry_after=5,
    )


def adapter_not_loaded(model: str) -> GatewayError:
    """The adapter is served, but no replica had it in memory in time."""
    return GatewayError(
        503,
        "adapter_not_loaded",
        f"No replica has loaded the adapter of '{model[:200]}' yet. Try again shortly.",
        kind="server_error",
        param="model",
        retry_after=2,
    )


def busy(model: str, retry_after: float = 1) -> GatewayError:
    """Every replica has as many requests as it may have, and enough others wait."""
    return GatewayError(
        429,
        "replicas_busy",
        f"Every replica of '{model}' is busy. Try again in {math.ceil(retry_after)} s.",
        kind="rate_limit_error",
        retry_after=retry_after,
    )


def replica_failed(model: str) -> GatewayError:
    """The model server answered that it failed; told only where nobody else could answer."""
    return GatewayError(
        502, "replica_failed", f"The model server of '{model}' failed.", kind="server_error"
    )


def target_locked(rule: str, header: str) -> GatewayError:
    """A header asks for a target, and a rule of the route keeps this caller from choosing."""
    return GatewayError(
        403,
        "target_locked",
        f"The rule '{rule}' of this route is locked: leave out the header '{header}'.",
        kind="permission_error",
        param=header,
    )


def no_target(header: str, name: str) -> GatewayError:
    """A header asks for what does not serve, or what the caller may not ask; both look the same."""
    return GatewayError(
        404,
        "target_not_found",
        f"'{name[:200]}' does not serve, or you do not have access to it: see '{header}'.",
        param=header,
    )


def deadline_passed(seconds: float) -> GatewayError:
    """The answer took too long. Not worth repeating: it would take as long again."""
    return GatewayError(
        504,
        "deadline_exceeded",
        f"The answer was not complete after {seconds:g} s. Ask for fewer tokens.",
        kind="server_error",
    )


def replica_lost() -> GatewayError:
    """The model server went away in the middle of an answer."""
    return GatewayError(
        502,
        "replica_lost",
        "The model server was lost before the answer was complete. Send the request again.",
        kind="server_error",
        retry_after=1,
    )


def gateway_stopped() -> GatewayError:
    """This process ends; another one, or the next, can answer."""
    return GatewayError(
        503,
        "gateway_stopped",
        "The gateway was stopped before the answer was complete. Send the request again.",
        kind="server_error",
        retry_after=1,
    )


def internal() -> GatewayError:
    """Something we did not foresee; the log has the trace under the request's id."""
    return GatewayError(
        500, "internal_error", "The gateway failed. The log has the details.", kind="server_error"
    )


def unavailable() -> GatewayError:
    """The database does not answer, and what is asked is not in memory."""
    return GatewayError(
        503,
        "unavailable",
        "The gateway cannot check this now. Try again in a few seconds.",
        kind="server_error",
        retry_after=2,
    )


def unknown_path(path: str) -> GatewayError:
    """There is nothing at this address."""
    return GatewayError(404, "unknown_url", f"There is no '{path[:200]}' here.")


def wrong_method(method: str) -> GatewayError:
    """The address exists, but not for this method."""
    return GatewayError(405, "method_not_allowed", f"{method[:20]} is not allowed here.")
