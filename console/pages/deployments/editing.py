"""Pages that make deployments and revisions, and the plan that they show beforehand."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from console.pages.configs.hours import typed_again
from console.pages.deployments.forms import (
    DeploymentForm,
    RevisionForm,
    configurations,
    deployable,
    pool_names,
)
from console.pages.forms import add_errors
from models_app.core.errors import InvalidInput
from models_app.core.permission import require
from models_app.deployments import selectors
from models_app.deployments.models import Deployment, Revision
from models_app.deployments.preview import rollout_plan
from models_app.deployments.services import deployment_launch, revision_create
from models_app.deployments.services.settings import chosen_settings
from models_app.deployments.states import RevisionState

ADD = "deployments.add_deployment"
CHANGE = "deployments.change_deployment"


@login_required
def deployment_new(request: HttpRequest) -> HttpResponse:
    """A new name with its first revision, in one form; `?version=` fills the version in."""
    actor: Any = request.user
    require(actor, ADD)
    versions = deployable(actor, ADD)
    initial = {
        "model_version": request.GET.get("version", ""), "config": request.GET.get("config", ""),
    }  # fmt: skip
    options: dict[str, Any] = {
        "versions": versions, "initial": initial, "pools": pool_names(actor),
        "configs": configurations(actor, ADD, chosen=_chosen(request)),
    }  # fmt: skip
    asked = typed_again(DeploymentForm, request.POST, **options)
    form = asked or DeploymentForm(request.POST or None, **options)
    if request.method == "POST" and form.is_valid():
        version = form.version()
        try:
            made = deployment_launch(
                actor=actor,
                team=version.model.team,
                name=form.cleaned_data["name"],
                environment=form.environments[form.cleaned_data["environment"]],
                description=form.cleaned_data["description"],
                model_version=version,
                **form.settings(),
                reason=form.cleaned_data["reason"],
            )
        except InvalidInput as error:
            _refuse(form, error)
        else:
            messages.success(request, _("The deployment is created."))
            return redirect("deployment_detail", version.model.team.slug, made.name)
    return render(
        request,
        "deployments/new.html",
        {"form": form, "versions": versions},
        status=422 if form.errors else 200,
    )


@login_required
def revision_new(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """The next revision, filled in with what serves now."""
    actor: Any = request.user
    row = selectors.deployment_by_name(actor=actor, team=team, name=name)
    require(actor, CHANGE, row)
    options: dict[str, Any] = {
        "versions": deployable(actor, CHANGE, row.team),
        "configs": configurations(actor, CHANGE, row.team, _chosen(request)),
        "pools": pool_names(actor),
        "initial": _initial(row, request.GET.get("version", ""))
        | {"config": request.GET.get("config", "")},
    }
    asked = typed_again(RevisionForm, request.POST, **options)
    form = asked or RevisionForm(request.POST or None, **options)
    if request.method == "POST" and form.is_valid():
        try:
            made = revision_create(
                actor=actor,
                deployment=row,
                model_version=form.version(),
                **form.settings(),
                reason=form.cleaned_data["reason"],
            )
        except InvalidInput as error:
            _refuse(form, error)
        else:
            messages.success(request, _said(made))
            return redirect("deployment_detail", team, name)
    return render(
        request,
        "deployments/revision_new.html",
        {"form": form, "deployment": row, "title": f"{row.team.slug}/{row.name}"},
        status=422 if form.errors else 200,
    )


def _initial(row: Deployment, version: str) -> dict[str, Any]:
    base: Revision | None = row.active_revision
    if base is None:
        base = row.revisions.select_related("config_revision").order_by("-number").first()
    if base is None:
        return {"model_version": version}
    return {**base.spec_in_effect, "model_version": version or base.model_version_id}


def _said(revision: Revision) -> str:
    if revision.state == RevisionState.PENDING_APPROVAL:
        return _("r%(n)s waits for approval.") % {"n": revision.number}
    if revision.state == RevisionState.APPROVED:
        return _("r%(n)s is ready to be rolled out once the deployment is started.") % {
            "n": revision.number
        }
    return _("r%(n)s is being rolled out.") % {"n": revision.number}


@login_required
@require_POST
def deployment_plan(request: HttpRequest) -> HttpResponse:
    """A fragment: what the form would do as it is filled in now. Changes nothing.

    POST, so that the fields of the form do not stand in an address.
    """
    actor: Any = request.user
    team, name = request.GET.get("team", ""), request.GET.get("deployment", "")
    if name:
        row = selectors.deployment_by_name(actor=actor, team=team, name=name)
        form = RevisionForm(
            request.POST,
            versions=deployable(actor, CHANGE, row.team),
            configs=configurations(actor, CHANGE, row.team, _chosen(request)),
            pools=pool_names(actor),
            initial=_initial(row, ""),
        )
        fields = set(form.fields)
    else:
        form = DeploymentForm(
            request.POST,
            versions=deployable(actor, ADD),
            configs=configurations(actor, ADD, chosen=_chosen(request)),
            pools=pool_names(actor),
        )
        fields = set(form.fields) - {"name"}
    if set(form.errors) & fields:
        return render(request, "deployments/_plan.html", {"plan": None})
    if isinstance(form, DeploymentForm):
        row = Deployment(
            environment=form.environments[form.cleaned_data["environment"]],
            team=form.version().model.team,
        )
    try:
        settings = chosen_settings(actor, row, **form.settings())
    except InvalidInput as error:
        return render(request, "deployments/_plan.html", {"plan": None, "problem": error.message})
    plan = rollout_plan(row, form.version(), settings.spec)
    context = {"plan": plan, "settings": settings, "spec": settings.spec.plain()}
    return render(request, "deployments/_plan.html", context)


def _chosen(request: HttpRequest) -> str:
    """The configuration that is asked for, which need not be the newest of its name."""
    return request.POST.get("config") or request.GET.get("config", "")


def _refuse(form: RevisionForm, error: InvalidInput) -> None:
    texts = {
        "config" if path == "config_revision" else path: said
        for path, said in error.errors.items()
        if not form.place_in_row(path.removeprefix("spec."), said)
    }
    add_errors(form, InvalidInput(texts), prefix="spec.")
