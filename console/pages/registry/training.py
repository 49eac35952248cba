"""The page that starts a training, and what it shows of it beforehand."""

import json
from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from console.pages.forms import add_errors
from console.pages.jobs.control import too_high
from console.pages.registry.estimate import shown
from console.pages.registry.forms import TrainingForm
from console.pages.registry.version_form import NEW, PERM
from models_app.configs.models import ConfigRevision
from models_app.configs.selectors import revision_get
from models_app.core.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from models_app.core.permission import require
from models_app.registry import selectors
from models_app.registry.estimates import training_estimate
from models_app.registry.families import MARKOV, is_markov, spec_kind
from models_app.registry.further import adapter_settings, beginning_of
from models_app.registry.models import Model, ModelVersion
from models_app.registry.services import model_create, training_start


@login_required
def training_new(request: HttpRequest) -> HttpResponse:
    """`?model=`, `?dataset_version=`, `?base_version=` or `?from=` (a version) fill it in.

    So does `?config=`, the revision of a configuration.
    """
    actor: Any = request.user
    require(actor, PERM)
    elsewhere = _other_family(request)
    if elsewhere and request.method == "GET":
        return redirect(f"{reverse('markov_new', args=[elsewhere])}?{request.GET.urlencode()}")
    form = TrainingForm(request.POST or None, actor=actor, initial=_initial(request))
    if request.method == "POST" and form.is_valid():
        try:
            version = _start(actor, form)
        except InvalidInput as error:
            add_errors(form, form.placed_errors(error), prefix="config.")
        except PermissionDenied as error:
            if error.extra.get("permission") != "jobs.prioritise_job":
                raise
            form.add_error("priority", too_high())
        except Conflict as error:
            form.add_error("name", error.message)
        else:
            messages.success(request, _("The training is queued."))
            return redirect("job_detail", version.produced_by_id)
    status = 422 if form.errors else 200
    config = config_asked(actor, str(form["config"].value() or ""))
    context = {"form": form, "config": config}
    return render(request, "models/training_new.html", context, status=status)


def _other_family(request: HttpRequest) -> str:
    """The family that has a page of its own, if what the address asks for is of it."""
    actor: Any = request.user
    for family in MARKOV:
        if config_asked(actor, request.GET.get("config", ""), spec_kind(family)):
            return family
    for name, find in (("model", _family_of_model), ("from", _family_of_version)):
        key = request.GET.get(name, "")
        if key.isascii() and key.isdecimal() and len(key) < 18:
            family = find(actor, int(key))
            if is_markov(family):
                return family
    return ""


def _family_of_model(actor: Any, key: int) -> str:
    try:
        return selectors.model_get(actor=actor, model_id=key).family
    except NotFound:
        return ""


def _family_of_version(actor: Any, key: int) -> str:
    try:
        return selectors.version_get(actor=actor, version_id=key).model.family
    except NotFound:
        return ""


def config_asked(actor: Any, key: str, kind: str = "training") -> ConfigRevision | None:
    """The configuration of an address or a form; None for what is of another kind or hidden."""
    if not (key.isascii() and key.isdecimal() and len(key) < 18):
        return None
    try:
        revision = revision_get(actor=actor, revision_id=int(key))
    except NotFound:
        return None
    return revision if revision.config.kind == kind else None


@transaction.atomic
def _start(actor: Any, form: TrainingForm) -> ModelVersion:
    """A new model exists only if its training does."""
    given = form.cleaned_data
    data = form.data_versions[given["dataset_version"]]
    team = data.dataset.team
    model: Model = (
        form.models[given["model"]]
        if given["model"] != NEW
        else model_create(actor=actor, team=team, name=given["name"])
    )
    return training_start(
        actor=actor,
        team=team,
        model=model,
        dataset_version=data,
        spec=form.spec(),
        base_version=form.bases.get(given["base_version"]),
        reason=given["reason"],
        config_revision=config_asked(actor, given["config"]),
        **form.placing(),
    )


@login_required
@require_POST
def training_plan_view(request: HttpRequest) -> HttpResponse:
    """A fragment: what the training of the form as it is filled in now would take. Changes nothing.

    POST, so that the fields of the form do not stand in an address.
    """
    actor: Any = request.user
    form = TrainingForm(request.POST, actor=actor)
    context: dict[str, Any] = {"plan": None, "problems": []}
    if not set(form.errors) - {"name", "model"}:
        data = form.data_versions[form.cleaned_data["dataset_version"]]
        try:
            placing = form.placing()
            plan = training_estimate(
                actor=actor,
                team=data.dataset.team,
                dataset_version=data,
                spec=form.spec(),
                base_version=form.bases.get(form.cleaned_data["base_version"]),
                pool=placing["pool"],
                resources=placing["resources"],
            )
        except InvalidInput as error:
            context["problems"] = [text for texts in error.errors.values() for text in texts]
        else:
            context |= shown(plan)
    return render(request, "models/_plan.html", context)


def _initial(request: HttpRequest) -> dict[str, Any]:
    actor: Any = request.user
    found: dict[str, Any] = {
        name: request.GET[name]
        for name in ("model", "dataset_version", "base_version", "preset")
        if name in request.GET
    }
    found.setdefault("preset", "gpt2-1m")
    found |= _adapter(actor, str(found.get("base_version", "")))
    config = config_asked(actor, request.GET.get("config", ""))
    if config is not None:
        return {**found, **_settings(config.spec), "config": config.pk}
    key = request.GET.get("from", "")
    if not (key.isdecimal() and len(key) < 18):
        return found
    try:
        version = selectors.version_get(actor=actor, version_id=int(key))
    except NotFound:
        return found
    spec = version.config_revision.spec if version.config_revision else {}
    return {
        **found,
        **_settings(spec),
        "model": version.model_id,
        "dataset_version": version.dataset_version_id,
        "base_version": begun.pk
        if (begun := version.begun_with)
        else version.base_version_id or "",
    }


def _adapter(actor: Any, key: str) -> dict[str, Any]:
    """What an adapter that is to be trained further has settled already."""
    if not (key.isascii() and key.isdecimal() and len(key) < 18):
        return {}
    try:
        version = selectors.version_get(actor=actor, version_id=int(key))
    except NotFound:
        return {}
    adapter = beginning_of(version).adapter
    return adapter_settings(adapter) if adapter else {}


def _settings(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Stored settings as the form shows them."""
    known = {name: value for name, value in spec.items() if value is not None}
    if "architecture" in known:
        known |= {"preset": "own", "architecture": json.dumps(known["architecture"], indent=2)}
    return known
