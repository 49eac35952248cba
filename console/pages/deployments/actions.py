"""What moves a deployment: each is a POST, one service call, and back to the page."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST

from console.pages.forms import whole_number
from models_app.core.errors import FieldError, WrongState
from models_app.core.permission import require
from models_app.deployments import selectors, services
from models_app.deployments.beside import adapters_offered
from models_app.deployments.models import Deployment, Revision
from models_app.deployments.states import RevisionState


def _deployment(request: HttpRequest, team: str, name: str) -> tuple[Any, Deployment]:
    actor: Any = request.user
    return actor, selectors.deployment_by_name(actor=actor, team=team, name=name)


def _reason(request: HttpRequest) -> str:
    return request.POST.get("reason", "")


def _number(request: HttpRequest, field: str) -> int:
    return whole_number(request.POST.get(field, ""), field)


@login_required
@require_POST
def roll_out(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """Start an approved revision, or try a failed one again."""
    actor, row = _deployment(request, team, name)
    revision = selectors.revision_by_number(actor=actor, deployment=row, number=number)
    services.rollout_start(actor=actor, revision=revision)
    messages.success(request, _("r%(n)s is being rolled out.") % {"n": number})
    return redirect("deployment_detail", team, name)


@login_required
@require_POST
def back(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """Roll back, to the revision named by `to` or the one before."""
    actor, row = _deployment(request, team, name)
    to = None
    if request.POST.get("to"):
        number = _number(request, "to")
        to = selectors.revision_by_number(actor=actor, deployment=row, number=number)
    target = services.roll_back(actor=actor, deployment=row, to=to, reason=_reason(request))
    texts = {
        RevisionState.ACTIVE: _("r%(n)s serves again."),
        RevisionState.ROLLING_OUT: _("r%(n)s is being started; requests move when it is ready."),
    }
    asked = _("A new approval for r%(n)s is asked for.")
    text = texts.get(RevisionState(target.state), asked)
    messages.success(request, text % {"n": target.number})
    return redirect("deployment_detail", team, name)


@login_required
@require_POST
def abort(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """Stop the roll-out under way."""
    actor, row = _deployment(request, team, name)
    revision = services.rolling_out(row)
    if revision is None:
        raise WrongState(_("Nothing is being rolled out any more."))
    services.rollout_abort(actor=actor, revision=revision, reason=_reason(request))
    messages.success(request, _("The roll-out of r%(n)s is aborted.") % {"n": revision.number})
    return redirect("deployment_detail", team, name)


def _steering(act: Callable[..., Any], said: Promise) -> Callable[..., HttpResponse]:
    """A button beside the roll-out under way: one service call, and what is told of it."""

    @login_required
    @require_POST
    def view(request: HttpRequest, team: str, name: str) -> HttpResponse:
        actor, row = _deployment(request, team, name)
        act(actor=actor, deployment=row, reason=_reason(request))
        messages.success(request, str(said))
        return redirect("deployment_detail", team, name)

    return view


pause = _steering(services.rollout_pause, gettext_lazy("The roll-out is paused."))
resume = _steering(services.rollout_resume, gettext_lazy("The roll-out goes on."))
promote = _steering(services.rollout_promote, gettext_lazy("The next step begins."))
stop = _steering(services.deployment_stop, gettext_lazy("Stopped. Running answers finish first."))


@login_required
@require_POST
def force(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """Roll back though the golden answers differ."""
    actor, row = _deployment(request, team, name)
    number = _number(request, "to")
    services.golden_force(actor=actor, deployment=row, to=number, reason=_reason(request))
    messages.success(request, _("r%(n)s is let through.") % {"n": number})
    return redirect("deployment_detail", team, name)


@login_required
@require_POST
def scale(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """Another number of replicas, as a new revision, or within the bounds of scaling at once."""
    actor, row = _deployment(request, team, name)
    replicas = _number(request, "replicas")
    for_s = _number(request, "for_s") if request.POST.get("for_s") else 3600
    revision = services.deployment_scale(
        actor=actor, deployment=row, replicas=replicas, reason=_reason(request), for_s=for_s
    )
    if revision.pk == row.active_revision_id:
        said = ngettext("%(n)s replica from now on.", "%(n)s replicas from now on.", replicas)
        messages.success(request, said % {"n": replicas})
        return redirect("deployment_detail", team, name)
    if revision.state == RevisionState.PENDING_APPROVAL:
        text = _("r%(n)s waits for approval.")
    else:
        text = _("r%(n)s is being rolled out.")
    messages.success(request, text % {"n": revision.number})
    return redirect("deployment_detail", team, name)


@login_required
@require_POST
def adapter_add(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """One adapter more, loaded by the replicas that run."""
    actor, row = _deployment(request, team, name)
    require(actor, "deployments.change_deployment", row)
    offered = {
        str(version.pk): version for version in adapters_offered(actor=actor, deployment=row)
    }
    chosen = offered.get(request.POST.get("model_version", ""))
    if chosen is None:
        raise FieldError("model_version", _("Choose one of the adapters that are offered."))
    revision = services.deployment_adapter_add(
        actor=actor, deployment=row, name=request.POST.get("name", ""), model_version=chosen,
        reason=_reason(request),
    )  # fmt: skip
    _say_changed(request, revision)
    return redirect("deployment_detail", team, name)


@login_required
@require_POST
def adapter_remove(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """One adapter less."""
    actor, row = _deployment(request, team, name)
    revision = services.deployment_adapter_remove(
        actor=actor, deployment=row, name=request.POST.get("name", ""), reason=_reason(request)
    )
    _say_changed(request, revision)
    return redirect("deployment_detail", team, name)


def _say_changed(request: HttpRequest, revision: Revision) -> None:
    """What becomes of a revision that differs in its adapters."""
    texts = {
        RevisionState.PENDING_APPROVAL: _("r%(n)s waits for approval."),
        RevisionState.ACTIVE: _("r%(n)s serves as before."),
    }
    loading = _("The replicas that run take r%(n)s over.")
    text = texts.get(RevisionState(revision.state), loading)
    messages.success(request, text % {"n": revision.number})


@login_required
@require_POST
def start(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """Serve again."""
    actor, row = _deployment(request, team, name)
    started = services.deployment_start(actor=actor, deployment=row)
    if started.stopped_at:
        messages.success(request, _("A new approval is asked for first."))
    else:
        messages.success(request, _("Started."))
    return redirect("deployment_detail", team, name)
