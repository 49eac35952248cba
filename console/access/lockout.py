"""How django-axes counts failed sign-ins (by address and IP) and what a locked visitor sees."""

import math
from typing import Any

from axes.helpers import get_cool_off
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def username(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str:
    """The address that was tried, in one spelling, so that capitals do not give more tries."""
    given = (credentials or {}).get("username") or request.POST.get("username") or ""
    return str(given).strip().lower()[:254]


def locked_out(
    request: HttpRequest,
    original_response: HttpResponse | None = None,
    credentials: dict[str, Any] | None = None,
) -> HttpResponse:
    """429 with the time to wait; whether the address exists is not told."""
    seconds = int(get_cool_off(request).total_seconds())
    minutes = math.ceil(seconds / 60)
    response = render(request, "access/locked.html", {"minutes": minutes}, status=429)
    response["Retry-After"] = str(seconds)
    return response
