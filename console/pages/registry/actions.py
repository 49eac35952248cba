"""What people do to models and versions: make, describe, note, quarantine, train again."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from console.pages.forms import add_errors
from models_app.core.errors import Conflict, InvalidInput
from models_app.core.permission import require
from models_app.core.teams import teams_where
from models_app.registry import selectors
from models_app.registry.models import ModelVersion
from models_app.registry.services import (
    model_create,
    model_describe,
    training_rerun,
    version_note,
    version_quarantine,
    version_restore,
)
from models_app.registry.states import Family


class ModelForm(forms.Form):
    """A new model."""

    team = forms.ChoiceField(label=gettext_lazy("Team"))
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=63,
        help_text=gettext_lazy("Lower-case letters, digits, dots and dashes."),
    )
    family = forms.ChoiceField(
        label=gettext_lazy("Family"),
        choices=Family.choices,
        initial=Family.TRANSFORMER,
        required=False,
        help_text=gettext_lazy("What its versions are; it cannot be changed later."),
    )
    description = forms.CharField(
        label=gettext_lazy("Description"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("What it is for, what it was made of, where its limits are."),
    )

    def __init__(self, *args: Any, teams: list[Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.teams = {team.slug: team for team in teams}
        choices = [(slug, str(team)) for slug, team in self.teams.items()]
        self.fields["team"].choices = choices  # type: ignore[attr-defined]


@login_required
def model_new(request: HttpRequest) -> HttpResponse:
    """A model without versions; a training makes the first one."""
    actor: Any = request.user
    require(actor, "registry.add_model")
    form = ModelForm(request.POST or None, teams=teams_where(actor, "registry.add_model"))
    if request.method == "POST" and form.is_valid():
        try:
            model = model_create(
                actor=actor,
                team=form.teams[form.cleaned_data["team"]],
                name=form.cleaned_data["name"],
                family=form.cleaned_data["family"] or Family.TRANSFORMER,
                description=form.cleaned_data["description"],
            )
        except InvalidInput as error:
            add_errors(form, error)
        except Conflict as error:
            form.add_error("name", error.message)
        else:
            messages.success(request, _("The model is made. Train its first version now."))
            return redirect("model_detail", model.team.slug, model.name)
    status = 422 if form.errors else 200
    return render(request, "models/new.html", {"form": form}, status=status)


@login_required
@require_POST
def model_describe_view(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """Change the description."""
    actor: Any = request.user
    model = selectors.model_named(actor=actor, team=team, name=name)
    model_describe(actor=actor, model=model, description=request.POST.get("description", ""))
    messages.success(request, _("The description is saved."))
    return redirect("model_detail", team, name)


@login_required
@require_POST
def notes(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """Change the notes of a version."""
    actor: Any = request.user
    version = _version(actor, team, name, number)
    version_note(actor=actor, version=version, notes=request.POST.get("notes", ""))
    messages.success(request, _("The notes are saved."))
    return redirect("model_version", team, name, number)


@login_required
@require_POST
def quarantine(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """Keep a version from being used; what serves it stops with it where that was chosen."""
    actor: Any = request.user
    version_quarantine(
        actor=actor,
        version=_version(actor, team, name, number),
        reason=request.POST.get("reason", ""),
        stop_serving=request.POST.get("stop_serving") == "yes",
    )
    messages.success(request, _("The version is quarantined."))
    return redirect("model_version", team, name, number)


@login_required
@require_POST
def restore(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """Let a version be used again."""
    actor: Any = request.user
    version = _version(actor, team, name, number)
    version_restore(actor=actor, version=version, reason=request.POST.get("reason", ""))
    messages.success(request, _("The version can be used again."))
    return redirect("model_version", team, name, number)


@login_required
@require_POST
def again(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """Train again with the same data and settings: a new version."""
    actor: Any = request.user
    version = training_rerun(actor=actor, version=_version(actor, team, name, number))
    messages.success(request, _("The training is queued as v%(n)s.") % {"n": version.number})
    return redirect("job_detail", version.produced_by_id)


def _version(actor: Any, team: str, name: str, number: int) -> ModelVersion:
    return selectors.version_numbered(actor=actor, team=team, name=name, number=number)
