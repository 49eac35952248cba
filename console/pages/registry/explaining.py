"""What explains a version: provenance and its check, lineage, card, rebuilding, continuing."""

import difflib
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from console.pages.forms import add_errors
from console.pages.markdown import markdown
from console.pages.registry.origin import origin_shown
from console.pages.registry.picture import picture
from models_app.core.errors import InvalidInput
from models_app.core.permission import require
from models_app.deployments.lineage.graph import lineage_graph
from models_app.jobs.checkpoint_api import checkpoint_download
from models_app.jobs.pinning import checkpoint_pin, checkpoint_unpin
from models_app.jobs.selectors import checkpoint_get
from models_app.registry import selectors
from models_app.registry.cards import card_text, card_words
from models_app.registry.models import CardText, ModelVersion
from models_app.registry.provenance import provenance_digests
from models_app.registry.run_record import run_facts, run_of
from models_app.registry.services import (
    card_write,
    checkpoint_version,
    reproduction_plan,
    reproduction_start,
    training_continue,
)
from models_app.registry.verification import version_verify


def explained(request: HttpRequest, version: ModelVersion, tab: str) -> dict[str, Any]:
    """What the tab shows beyond what every tab does."""
    part = {
        "provenance": _provenance, "lineage": _lineage, "card": _card, "reproduce": _reproduce,
    }.get(tab)  # fmt: skip
    return part(request, version) if part else {}


def _provenance(request: HttpRequest, version: ModelVersion) -> dict[str, Any]:
    checked = version_verify(version) if request.GET.get("verify") else None
    run = run_of(version)
    return {
        "digests": provenance_digests(version),
        "checked": checked,
        "run": run_facts(run) if run else None,
        "origin": origin_shown(version),
    }


def _lineage(request: HttpRequest, version: ModelVersion) -> dict[str, Any]:
    actor: Any = request.user
    graph = lineage_graph(actor=actor, node=f"model_version:{version.pk}")
    return {"picture": picture(graph), "node": graph.start.id}


def _card(request: HttpRequest, version: ModelVersion) -> dict[str, Any]:
    text = card_text(version)
    words = card_words(version)
    rows = list(version.model.card_texts.select_related("author").order_by("-number")[:20])
    return {
        "card": markdown(text.split("---\n", 2)[2]),
        "head_of_card": text.split("---\n", 2)[1],
        "words": words,
        "card_form": CardForm(initial=_initial(words)),
        "card_rows": [
            (row, _changes(row, older)) for row, older in zip(rows, [*rows[1:], None], strict=False)
        ],
    }


def _reproduce(request: HttpRequest, version: ModelVersion) -> dict[str, Any]:
    actor: Any = request.user
    rows = version.reproductions.select_related("job", "created_by", "drill").order_by("-id")[:50]
    return {
        "reproductions": list(rows),
        "plan": reproduction_plan(version),
        "may_reproduce": actor.has_perm("registry.reproduce_version", version)
        and version.state == "ready"
        and version.config_revision is not None,
    }


class CardForm(forms.Form):
    """The words of a card."""

    license = forms.CharField(
        label=gettext_lazy("Licence"), required=False, max_length=80,
        help_text=gettext_lazy("The short name, such as apache-2.0."),
    )  # fmt: skip
    languages = forms.CharField(
        label=gettext_lazy("Languages"), required=False, max_length=200,
        help_text=gettext_lazy("Codes with commas between them, such as en, zh."),
    )  # fmt: skip
    tags = forms.CharField(
        label=gettext_lazy("Tags"), required=False, max_length=400,
        help_text=gettext_lazy("Words with commas between them."),
    )  # fmt: skip
    body = forms.CharField(
        label=gettext_lazy("Description"), required=False, strip=False,
        widget=forms.Textarea(attrs={"rows": 10}),
        help_text=gettext_lazy("Markdown: what it is for, whom it may harm, where its limits are."),
    )  # fmt: skip


def _initial(words: CardText | None) -> dict[str, str]:
    if words is None:
        return {}
    return {
        "license": words.license, "languages": ", ".join(words.languages),
        "tags": ", ".join(words.tags), "body": words.body,
    }  # fmt: skip


def _changes(row: CardText, older: CardText | None) -> list[tuple[str, str]]:
    """Lines that came and went, as (`+` or `-`, text)."""
    before, after = (_as_lines(words) for words in (older, row))
    return [
        (line[0], line[2:]) for line in difflib.ndiff(before, after) if line[:2] in ("+ ", "- ")
    ]


def _as_lines(words: CardText | None) -> list[str]:
    given = _initial(words)
    head = [f"{name}: {given[name]}" for name in ("license", "languages", "tags") if given]
    return [*head, *given.get("body", "").split("\n")] if given else []


@login_required
@require_POST
def card_save(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """Write the next revision of the words."""
    actor: Any = request.user
    version = selectors.version_numbered(actor=actor, team=team, name=name, number=number)
    form = CardForm(request.POST)
    if form.is_valid():
        given = form.cleaned_data
        try:
            card_write(
                actor=actor, model=version.model, body=given["body"], license=given["license"],
                languages=_words(given["languages"]), tags=_words(given["tags"]),
            )  # fmt: skip
        except InvalidInput as error:
            add_errors(form, error)
        else:
            messages.success(request, _("The text of the card is saved."))
            return redirect(_tab(version, "card"))
    found = {"version": version, "model": version.model, "form": form}
    return render(request, "models/card_edit.html", found, status=422)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


@login_required
@require_POST
def reproduce(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """Rebuild the version from its record."""
    actor: Any = request.user
    version = selectors.version_numbered(actor=actor, team=team, name=name, number=number)
    reproduction_start(actor=actor, version=version)
    messages.success(request, _("The rebuilding is queued."))
    return redirect(_tab(version, "reproduce"))


def _tab(version: ModelVersion, tab: str) -> str:
    model = version.model
    url = reverse("model_version", args=[model.team.slug, model.name, version.number])
    return f"{url}?tab={tab}"


@login_required
def lineage_page(request: HttpRequest) -> HttpResponse:
    """The lineage around anything: `?node=kind:key`, all of it with `unfold=1`."""
    actor: Any = request.user
    graph = lineage_graph(actor=actor, node=request.GET.get("node", ""))
    shown = picture(graph, unfold=bool(request.GET.get("unfold")))
    found = {"picture": shown, "node": graph.start.id, "start": graph.start}
    return render(request, "models/lineage.html", found)


class ContinueForm(forms.Form):
    """How far a run goes on."""

    steps = forms.IntegerField(
        label=gettext_lazy("Steps"), min_value=1,
        help_text=gettext_lazy("Counted from the beginning of the first run."),
    )  # fmt: skip
    reason = forms.CharField(label=gettext_lazy("Why"), required=False, max_length=200)


@login_required
def checkpoint_continue(request: HttpRequest, pk: int) -> HttpResponse:
    """Train on from a checkpoint."""
    actor: Any = request.user
    checkpoint = checkpoint_get(actor=actor, checkpoint_id=pk)
    require(actor, "registry.add_version", checkpoint.job)
    version = checkpoint_version(checkpoint)
    assert version.config_revision is not None
    steps = version.config_revision.spec["steps"]
    form = ContinueForm(request.POST or None, initial={"steps": steps})
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            new = training_continue(
                actor=actor, checkpoint=checkpoint, changes={"steps": given["steps"]},
                reason=given["reason"],
            )  # fmt: skip
        except InvalidInput as error:
            add_errors(form, error, prefix="changes.")
        else:
            messages.success(request, _("The training is queued as v%(n)s.") % {"n": new.number})
            return redirect("job_detail", new.produced_by_id)
    found = {"form": form, "checkpoint": checkpoint, "version": version, "steps": steps}
    status = 422 if form.errors else 200
    return render(request, "models/continue.html", found, status=status)


@login_required
@require_POST
def checkpoint_keep(request: HttpRequest, pk: int) -> HttpResponse:
    """Keep a checkpoint, or let go of it: `keep=yes` or `keep=no`."""
    actor: Any = request.user
    checkpoint = checkpoint_get(actor=actor, checkpoint_id=pk)
    if request.POST.get("keep") == "no":
        checkpoint_unpin(actor=actor, checkpoint=checkpoint)
        messages.success(request, _("The checkpoint is no longer kept."))
    else:
        checkpoint_pin(actor=actor, checkpoint=checkpoint)
        messages.success(request, _("The checkpoint is kept."))
    return redirect("job_detail", checkpoint.job_id)


@login_required
def checkpoint_file(request: HttpRequest, pk: int) -> Any:
    """The checkpoint as a tar file."""
    actor: Any = request.user
    return checkpoint_download(checkpoint_get(actor=actor, checkpoint_id=pk))
