"""The side bar by itself, so that its counts change while a page stays open."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from console.pages import context
from console.pages.navigation import place_at

#: Longer addresses than this are none of ours.
LONGEST = 1000


@login_required
def side_bar(request: HttpRequest) -> HttpResponse:
    """Its entries as the page at `?path=` shows them; any other address marks none of them."""
    place = place_at(request.GET.get("path", "")[:LONGEST])
    return render(request, "components/_nav_entries.html", context.side_bar(request, place))


urlpatterns = [path("side-bar/", side_bar, name="side_bar")]
