"""A version that waits for the files of a run elsewhere: what its page shows, and giving it up."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from models_app.registry import selectors
from models_app.registry.models import ModelVersion
from models_app.registry.run_record import run_facts, run_of
from models_app.registry.services import version_give_up
from models_app.registry.services.filling import filling_job
from models_app.registry.services.pushes import draft_of, missing_parts


def awaited(version: ModelVersion) -> dict[str, Any]:
    """Its run, the import on its way or the last one that failed, and what is missing still."""
    if not version.waits_for_files:
        return {}
    run, filling = run_of(version), filling_job(version)
    draft, _digest = draft_of(version.model, version)
    return {
        "run": run_facts(run) if run else None,
        "filling": filling,
        "refused": version.filled_by if filling is None else None,
        "pushed": sorted(draft),
        "missing": missing_parts(draft),
        "public_url": settings.PUBLIC_URL,
    }


@login_required
@require_POST
def give_up(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """The files will never come: the version fails with the reason."""
    actor: Any = request.user
    version = selectors.version_numbered(actor=actor, team=team, name=name, number=number)
    version_give_up(actor=actor, version=version, reason=request.POST.get("reason", ""))
    messages.success(request, _("v%(n)s is given up.") % {"n": number})
    return redirect("model_version", team, name, number)
