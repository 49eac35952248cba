"""Pages of conversions: choose a format, and read how far the result is from its source."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.pages.forms import add_errors
from console.pages.registry.parity import CHOICES, MEASURES, pictures, rows_of_checks
from models_app.core.errors import Conflict, InvalidInput
from models_app.core.permission import require
from models_app.datasets.selectors import versions_ready as data_ready
from models_app.registry import selectors
from models_app.registry.formats import format_check, is_adapter, source_kind, target_list
from models_app.registry.models import ModelVersion
from models_app.registry.services import conversion_start

PERM = "registry.convert_version"
MOST_CHOICES = 400


class ConversionForm(forms.Form):
    """Format and precision in one choice, what to compare on, and limits of one's own."""

    choice = forms.ChoiceField(label=gettext_lazy("Format"), widget=forms.RadioSelect)
    dataset_version = forms.ChoiceField(
        label=gettext_lazy("Compare on"),
        required=False,
        help_text=gettext_lazy("Its validation split; empty takes built-in prompts."),
    )
    max_documents = forms.IntegerField(
        label=gettext_lazy("Most documents"), initial=200, min_value=1, max_value=10**6
    )
    threads = forms.IntegerField(
        label=gettext_lazy("Threads"), initial=1, min_value=1, max_value=1024
    )

    def __init__(self, *args: Any, actor: Any, version: ModelVersion, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cards = _cards(version)
        fields: Any = self.fields
        fields["choice"].choices = [
            (option["value"], option["value"]) for card in self.cards for option in card["options"]
        ]
        data = data_ready(actor=actor, team=version.model.team)[:MOST_CHOICES]
        self.data_versions = {str(row.pk): row for row in data}
        fields["dataset_version"].choices = [
            ("", _("Built-in prompts")),
            *((key, str(row)) for key, row in self.data_versions.items()),
        ]
        for name, (label, help_text) in MEASURES.items():
            fields[f"gate.{name}"] = forms.FloatField(
                label=label,
                help_text=help_text,
                required=False,
                min_value=None if name == "perplexity_increase" else 0,
                widget=forms.NumberInput(attrs={"step": "any"}),
            )

    def limits(self) -> list[forms.BoundField]:
        return [self[f"gate.{name}"] for name in MEASURES]

    def limits_wrong(self) -> bool:
        """Whether the folded part holds an error and must be open."""
        return any(name.startswith("gate.") for name in self.errors)

    def gate(self) -> dict[str, float]:
        """Limits that were given; the format's own hold for the others."""
        found = {name: self.cleaned_data[f"gate.{name}"] for name in MEASURES}
        return {name: value for name, value in found.items() if value is not None}


def _cards(version: ModelVersion) -> list[dict[str, Any]]:
    """What each format is for, how large it would get, and why it cannot be had."""
    weights = version.facts.get("parameters") or version.size_bytes // 4
    kind = source_kind(version)
    if kind == "adapter" and version.base_version:
        weights = version.base_version.facts.get("parameters") or 0
    return [
        {
            "name": target.name,
            "label": _(target.label),
            "purpose": _(target.purpose),
            "unavailable": target.unavailable(),
            "options": [
                {
                    "value": f"{target.name}:{choice.name}",
                    "name": choice.name,
                    "bytes": round(weights * choice.bytes_per_weight),
                    "note": CHOICES.get(choice.name, ""),
                }
                for choice in target.precisions
            ],
        }
        for target in target_list()
        if target.takes == kind
    ]


@login_required
def conversion_new(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """Choose a format for a version."""
    actor: Any = request.user
    version = selectors.version_numbered(actor=actor, team=team, name=name, number=number)
    require(actor, PERM, version)
    form = ConversionForm(request.POST or None, actor=actor, version=version)
    existing = None
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        chosen, precision = given["choice"].split(":")
        try:
            conversion = conversion_start(
                actor=actor,
                version=version,
                format=chosen,
                precision=precision,
                dataset_version=form.data_versions.get(given["dataset_version"]),
                gate=form.gate(),
                max_documents=given["max_documents"],
                threads=given["threads"],
            )
        except InvalidInput as error:
            renamed = {"format": "choice", "precision": "choice"}
            errors = {renamed.get(key, key): text for key, text in error.errors.items()}
            add_errors(form, InvalidInput(errors))
        except Conflict as error:
            form.add_error("choice", error.message)
            existing = error.extra.get("conversion")
        else:
            messages.success(request, _("The conversion is queued."))
            return redirect("conversion_detail", conversion.pk)
    refused = _refused(version)
    context = {
        "form": form, "version": version, "model": version.model, "refused": refused,
        "existing": existing,
    }  # fmt: skip
    status = 422 if form.errors else 200
    return render(request, "models/conversion_new.html", context, status=status)


@login_required
def conversion_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """The parity report: verdict, figures, pictures, and what both models answer."""
    actor: Any = request.user
    row = selectors.conversion_get(actor=actor, conversion_id=pk)
    job = row.job
    return render(
        request,
        "models/conversion.html",
        {
            "conversion": row,
            "version": row.source,
            "model": row.source.model,
            "output": row.output,
            "report": row.report,
            "checks": rows_of_checks(row),
            "pictures": pictures(row.report) if row.report else None,
            "job": job,
            "topic": f"model.{row.output.model_id}" + (f" job.{job.pk}" if job else ""),
        },
    )


def _refused(version: ModelVersion) -> str:
    """Why nothing can be made of a version; empty where something can."""
    if version.state != "ready":
        return _("Only a ready version can be converted.")
    if is_adapter(version):
        return ""
    try:
        format_check(version, "convert", "version")
    except InvalidInput as error:
        return error.errors["version"][0]
    return ""
