"""The page that prepares a version, with a preview of what that would do."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from console.pages.datasets.prepare_form import PrepareForm, step_lines
from console.pages.datasets.uploading import CHANGE
from console.pages.datasets.versions import version_shown
from console.pages.forms import add_errors
from models_app.core.errors import InvalidInput
from models_app.core.permission import require
from models_app.curation.services import dataset_prepare, preparation_preview
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.datasets.policy import STEP_LABELS
from models_app.jobs.models import Job
from models_app.jobs.states import TERMINAL, JobState
from models_app.registry.selectors import version_list as model_versions
from models_app.registry.states import VersionState

MOST_CHOICES = 200


@login_required
def dataset_prepare_view(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """`?preview=` (a job) shows what its settings would do and fills them in again."""
    actor: Any = request.user
    version = version_shown(request, team, name, number)
    require(actor, CHANGE, version)
    shown = _preview(request, version)
    form = _form(request, version, shown)
    if request.method == "POST" and form.is_valid():
        try:
            return _done(request, version, form)
        except InvalidInput as error:
            add_errors(form, error, prefix="config.")
    context = {
        "version": version,
        "dataset": version.dataset,
        "form": form,
        "preview": shown,
        "previewing": shown is not None and shown.state not in TERMINAL,
        "result": _result(shown) if shown is not None else None,
    }
    return render(request, "datasets/prepare.html", context, status=422 if form.errors else 200)


def _done(request: HttpRequest, version: DatasetVersion, form: PrepareForm) -> HttpResponse:
    actor: Any = request.user
    if request.POST.get("do") == "preview":
        job = preparation_preview(actor=actor, parent=version, spec=form.spec())
        dataset = version.dataset
        here = reverse(
            "dataset_version_prepare", args=[dataset.team.slug, dataset.name, version.number]
        )
        return redirect(f"{here}?preview={job.pk}#preview")
    made = dataset_prepare(
        actor=actor,
        parent=version,
        spec=form.spec(),
        dataset=form.datasets[form.cleaned_data["dataset"]],
        reason=form.cleaned_data["reason"],
        idempotency_key=form.key_for_service(),
    )
    messages.success(request, _("The preparation is queued. This page follows it."))
    return redirect("dataset_version", made.dataset.team.slug, made.dataset.name, made.number)


def _form(request: HttpRequest, version: DatasetVersion, shown: Job | None) -> PrepareForm:
    actor: Any = request.user
    initial: dict[str, Any] = {"dataset": str(version.dataset_id)}
    if shown is not None:
        initial |= shown.params["config"]
    elif version.config_revision is not None:
        initial |= version.config_revision.spec
    others = Dataset.objects.filter(team_id=version.team_id).order_by("name")
    models = model_versions(actor=actor).filter(
        model__team_id=version.team_id, state=VersionState.READY
    )
    return PrepareForm(
        request.POST if request.method == "POST" else None,
        datasets=list(others[:MOST_CHOICES]),
        models=list(models[:MOST_CHOICES]),
        initial=initial,
    )


def _preview(request: HttpRequest, version: DatasetVersion) -> Job | None:
    """The preview that the address names, if it is one of this version."""
    key = request.GET.get("preview", "")
    if not (key.isascii() and key.isdecimal() and len(key) < 18):
        return None
    rows = Job.objects.filter(team_id=version.team_id, kind="dataset_preview")
    return rows.filter(pk=int(key), params__parent=version.pk).first()


def _result(job: Job) -> dict[str, Any] | None:
    """What the preview says, in words."""
    if job.state != JobState.SUCCEEDED or not job.result:
        return None
    result = job.result
    examples = [
        {**example, "label": STEP_LABELS.get(example["step"], "")} for example in result["examples"]
    ]
    return {**result, "rows": step_lines(result["steps"]), "examples": examples}
