"""What the pages of access share."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from console.access.models import User
from models_app.core.errors import InvalidInput

PER_PAGE = 25


def actor_of(request: HttpRequest) -> User:
    """The signed-in person; views have asked for one."""
    assert isinstance(request.user, User)
    return request.user


def page_of(request: HttpRequest, rows: QuerySet[Any], size: int = PER_PAGE) -> Page[Any]:
    """The page that the URL names; a wrong number gives the nearest one."""
    return Paginator(rows, size).get_page(request.GET.get("page"))


def say_errors(request: HttpRequest, error: InvalidInput) -> None:
    """Refusals of a one-button form become messages."""
    for texts in error.errors.values():
        for text in texts:
            messages.error(request, text)


def shown_once(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """A page with a secret: the answer to the POST itself, so that it is stored nowhere."""
    response = render(request, template, context)
    response["Cache-Control"] = "no-store"
    return response
