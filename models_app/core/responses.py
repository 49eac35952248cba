"""Answers of the API that more than one app gives."""

from typing import Any

from rest_framework.response import Response


def created(data: Any) -> Response:
    """201, and where the new thing is."""
    return Response(data, status=201, headers={"Location": data["url"]})


def accepted(data: Any) -> Response:
    """202: a job will do it; Location is what it will make."""
    return Response(data, status=202, headers={"Location": data["url"]})
