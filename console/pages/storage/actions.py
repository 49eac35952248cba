"""What admins ask of the store: each is a POST, one service call, and back to the page."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from models_app.core.errors import Conflict
from models_app.storage.services import store_collect, store_verify

#: How many files a quick check reads.
SAMPLE = 100


@login_required
@require_POST
def collect(request: HttpRequest) -> HttpResponse:
    """Remove what may go."""
    actor: Any = request.user
    try:
        store_collect(actor=actor)
    except Conflict as error:
        messages.error(request, error.message)
    else:
        messages.success(request, _("A worker collects the garbage. This page follows it."))
    return redirect("store_overview")


@login_required
@require_POST
def verify(request: HttpRequest) -> HttpResponse:
    """Read all files, or some, and compare their digests."""
    actor: Any = request.user
    try:
        store_verify(actor=actor, sample=SAMPLE if request.POST.get("sample") else None)
    except Conflict as error:
        messages.error(request, error.message)
    else:
        messages.success(request, _("A worker checks the files. This page follows it."))
    return redirect("store_overview")
