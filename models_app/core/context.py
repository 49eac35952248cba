"""What the audit log wants to know of the request that is being served."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RequestContext:
    """Where a change came from."""

    request_id: str = ""
    ip: str = ""
    via: str = "system"  # browser | api | gateway | cli | system


NOBODY = RequestContext()
current: ContextVar[RequestContext] = ContextVar("request_context", default=NOBODY)
