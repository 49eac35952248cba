"""Run again with changes: the run's own values to edit, what differs, then the start.

Three clicks without any script: the button on the run's page, "Review", "Start".
"""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST
from pydantic import BaseModel

from console.pages.configs.editor import Editor
from console.pages.jobs.runs import Run, run_of
from models_app.configs.comparison import compare_lines
from models_app.configs.documents import ordered
from models_app.configs.yaml_text import yaml_dump
from models_app.core.errors import InvalidInput, NotFound
from models_app.datasets.models import DatasetVersion
from models_app.datasets.selectors import versions_ready
from models_app.jobs import selectors

MOST_CHOICES = 300


class AgainForm(forms.Form):
    """What is chosen beside the values: other data, and why."""

    dataset_version = forms.ChoiceField(label=gettext_lazy("Dataset version"))
    reason = forms.CharField(
        label=gettext_lazy("Why"),
        required=False,
        max_length=200,
        help_text=gettext_lazy("One line, kept with the settings."),
    )

    def __init__(self, data: Any = None, *, run: Run, actor: Any) -> None:
        super().__init__(data)
        self.data_versions: dict[str, DatasetVersion] = {}
        own = run.data()
        if own is None or not run.takes_data:
            del self.fields["dataset_version"]
        else:
            rows = list(
                versions_ready(actor=actor).filter(dataset__team=run.job.team_id)[:MOST_CHOICES]
            )
            rows = rows if own in rows else [own, *rows]
            self.data_versions = {str(row.pk): row for row in rows}
            choices = [(key, str(row)) for key, row in self.data_versions.items()]
            self.fields["dataset_version"].choices = choices  # type: ignore[attr-defined]
            self.initial = {"dataset_version": str(own.pk)}
        if not run.takes_reason:
            del self.fields["reason"]

    def chosen(self) -> DatasetVersion | None:
        """The data, where it can be chosen at all."""
        return self.data_versions.get(self.cleaned_data.get("dataset_version", ""))

    def why(self) -> str:
        """Why, or nothing."""
        return str(self.cleaned_data.get("reason", ""))


@login_required
def job_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Edit, look at the difference, start; `go` says which of them is asked for."""
    actor: Any = request.user
    run = _run(request, pk)
    posted = request.method == "POST"
    view = "yaml" if request.GET.get("view") == "yaml" else "form"
    editor: Editor[BaseModel] = Editor(
        run.model, run.values(), request.POST if posted else None, view=view
    )
    form = AgainForm(request.POST if posted else None, run=run, actor=actor)
    if editor.switching:
        editor.switch()
    elif posted and editor.go in ("review", "start"):
        new = editor.read()
        if form.is_valid() and new is not None:
            if editor.go == "review":
                return _review(request, run, editor, form, new)
            try:
                job = run.start(actor, new, form.chosen(), form.why())
            except InvalidInput as error:
                _refuse(editor, form, run, error)
            else:
                said = _("Started as job %(id)s, with the changes that you made.")
                messages.success(request, said % {"id": job.pk})
                return redirect("job_detail", job.pk)
    wrong = editor.wrong or bool(form.errors)
    context = {"job": run.job, "editor": editor, "form": form}
    return render(request, "jobs/again.html", context, status=422 if wrong else 200)


@login_required
@require_POST
def job_again_changes(request: HttpRequest, pk: int) -> HttpResponse:
    """A fragment: what differs as it is filled in now. Changes nothing."""
    run = _run(request, pk)
    editor: Editor[BaseModel] = Editor(run.model, run.values(), request.POST)
    form = AgainForm(request.POST, run=run, actor=request.user)
    raw = editor.raw()
    context: dict[str, Any] = {"job": run.job, "readable": raw is not None}
    if raw is not None:
        form.full_clean()
        context["changes"] = run.changes(raw, form.chosen())
    return render(request, "jobs/_again_changes.html", context)


def _review(
    request: HttpRequest, run: Run, editor: Editor[Any], form: AgainForm, new: BaseModel
) -> HttpResponse:
    """The difference and nothing else; the values travel on as YAML."""
    values = new.model_dump(mode="json")
    before, after = (
        yaml_dump(ordered(part, [run.model])) for part in (run.full(run.values()), values)
    )
    context = {
        "job": run.job,
        "form": form,
        "came_from": editor.view,
        "yaml": after,
        "changes": run.changes(values, form.chosen()),
        "lines": compare_lines(before.splitlines(), after.splitlines(), 3),
        "warnings": list(new.warnings().items()) if hasattr(new, "warnings") else [],
        "old_label": f"#{run.job.pk}",
        "data": form.chosen(),
    }
    return render(request, "jobs/again_review.html", context)


def _refuse(editor: Editor[Any], form: AgainForm, run: Run, error: InvalidInput) -> None:
    own = {name: texts for name, texts in error.errors.items() if name in form.fields}
    for name, texts in own.items():
        for text in texts:
            form.add_error(name, text)
    rest = {name: texts for name, texts in error.errors.items() if name not in own}
    if rest:
        editor.refuse(InvalidInput(rest), run.prefix)


def _run(request: HttpRequest, pk: int) -> Run:
    actor: Any = request.user
    run = run_of(selectors.job_get(actor=actor, job_id=pk))
    if run is None:
        raise NotFound(_("This job is started by what it belongs to, not by hand."))
    run.check(actor)
    return run
