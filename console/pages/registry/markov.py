"""The page that starts a training of an n-gram model or a hidden Markov model."""

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from console.pages.configs.editor import Editor
from console.pages.forms import add_errors
from console.pages.jobs.control import too_high
from console.pages.registry.estimate import shown
from console.pages.registry.training import config_asked
from console.pages.registry.version_form import NEW, PERM, NewVersionForm
from models_app.configs.specs import Spec, spec_class
from models_app.core.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from models_app.core.permission import require
from models_app.registry import selectors
from models_app.registry.estimates import training_estimate
from models_app.registry.families import MARKOV, spec_kind
from models_app.registry.models import ModelVersion
from models_app.registry.services import model_create, training_start
from models_app.registry.states import Family


class MarkovForm(NewVersionForm):
    """Model and data; the settings are edited beside it, as a form or as YAML."""

    def __init__(self, *args: Any, actor: Any, family: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.families = (family,)
        self.add_placing(actor)
        self.add_rows(actor)


@login_required
def markov_new(request: HttpRequest, family: str) -> HttpResponse:
    """`?model=`, `?dataset_version=`, `?from=` (a version) and `?config=` fill it in."""
    actor: Any = request.user
    require(actor, PERM)
    kind = _kind(family)
    posted = request.POST if request.method == "POST" else None
    initial, values = _initial(request, family)
    editor = Editor(spec_class(kind), values, posted)
    form = MarkovForm(posted, actor=actor, family=family, initial=initial)
    if posted is not None and editor.switching:
        editor.switch()
        form = MarkovForm(None, actor=actor, family=family, initial=posted.dict())
    elif posted is not None:
        spec = editor.read()
        if form.is_valid() and spec is not None:
            version = _started(actor, form, editor, spec, family)
            if version is not None:
                messages.success(request, _("The training is queued."))
                return redirect("job_detail", version.produced_by_id)
    context = {
        "form": form, "editor": editor, "family": family, "label": Family(family).label,
        "config": config_asked(actor, str(form["config"].value() or ""), kind),
    }  # fmt: skip
    status = 422 if form.errors or editor.wrong else 200
    return render(request, "models/markov_new.html", context, status=status)


@login_required
@require_POST
def markov_plan(request: HttpRequest, family: str) -> HttpResponse:
    """A fragment: memory and units of the form as it is filled in now. Changes nothing."""
    actor: Any = request.user
    editor = Editor(spec_class(_kind(family)), {}, request.POST)
    form = MarkovForm(request.POST, actor=actor, family=family)
    context: dict[str, Any] = {"plan": None, "problems": []}
    raw = editor.raw()
    if raw is not None and not set(form.errors) - {"name", "model"}:
        data = form.data_versions[form.cleaned_data["dataset_version"]]
        try:
            placing = form.placing()
            found = training_estimate(
                actor=actor, team=data.dataset.team, dataset_version=data, spec=raw, family=family,
                pool=placing["pool"], resources=placing["resources"],
            )  # fmt: skip
        except InvalidInput as error:
            context["problems"] = [text for texts in error.errors.values() for text in texts]
        else:
            context |= shown(found)
    return render(request, "models/_plan.html", context)


def _kind(family: str) -> str:
    if family not in MARKOV:
        raise Http404
    return spec_kind(family)


def _started(
    actor: Any, form: MarkovForm, editor: Editor[Any], spec: Spec, family: str
) -> ModelVersion | None:
    """The pending version; None with everything marked that is wrong."""
    try:
        return _start(actor, form, spec, family)
    except InvalidInput as error:
        settings = {k: v for k, v in error.errors.items() if k.startswith("config.")}
        others = {k: v for k, v in error.errors.items() if k not in settings}
        if settings:
            editor.refuse(InvalidInput(settings), "config")
        add_errors(form, form.placed_errors(InvalidInput(others)))
    except PermissionDenied as error:
        if error.extra.get("permission") != "jobs.prioritise_job":
            raise
        form.add_error("priority", too_high())
    except Conflict as error:
        form.add_error("name", error.message)
    return None


@transaction.atomic
def _start(actor: Any, form: MarkovForm, spec: Spec, family: str) -> ModelVersion:
    """A new model exists only if its training does."""
    given = form.cleaned_data
    data = form.data_versions[given["dataset_version"]]
    team = data.dataset.team
    model = (
        form.models[given["model"]]
        if given["model"] != NEW
        else model_create(actor=actor, team=team, name=given["name"], family=family)
    )
    return training_start(
        actor=actor,
        team=team,
        model=model,
        dataset_version=data,
        spec=spec,
        reason=given["reason"],
        config_revision=config_asked(actor, given["config"], spec_kind(family)),
        **form.placing(),
    )


def _initial(request: HttpRequest, family: str) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """What the form and the settings are filled with."""
    actor: Any = request.user
    found: dict[str, Any] = {
        name: request.GET[name] for name in ("model", "dataset_version") if name in request.GET
    }
    kind = spec_kind(family)
    config = config_asked(actor, request.GET.get("config", ""), kind)
    if config is not None:
        return {**found, "config": config.pk}, config.spec
    key = request.GET.get("from", "")
    if key.isascii() and key.isdecimal() and len(key) < 18:
        try:
            version = selectors.version_get(actor=actor, version_id=int(key))
        except NotFound:
            return found, spec_class(kind).suggested()
        revision = version.config_revision
        if revision is not None and revision.config.kind == kind:
            named = {"model": version.model_id, "dataset_version": version.dataset_version_id}
            return {**found, **named}, revision.spec
    return found, spec_class(kind).suggested()
