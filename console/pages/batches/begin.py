"""The form of a new batch: a file of requests, or the rows of a dataset with a template."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.pages.forms import add_errors
from console.pages.uploads import takes_uploads
from models_app.batches.models import Batch
from models_app.batches.rows import ENDPOINTS
from models_app.batches.services import batch_of_rows, batch_start
from models_app.core.errors import InvalidInput
from models_app.core.permission import require
from models_app.core.teams import teams_where
from models_app.datasets.models import DatasetVersion
from models_app.datasets.states import VersionState
from models_app.datasets.uploads import StoredFile
from models_app.deployments.selectors import deployment_list
from models_app.finetuning.services import file_add
from models_app.registry.models import ModelVersion
from models_app.registry.states import VersionState as ModelState

PERM = "jobs.submit_job"
MOST_CHOICES = 400

#: What each source of requests must be told.
ASKED = {
    "rows": ("dataset_version", "split", "model", "prompt", "max_tokens", "temperature"),
    "file": ("team", "endpoint"),
}


class BatchForm(forms.Form):
    """What is asked, of whom."""

    use_required_attribute = False

    source = forms.ChoiceField(
        label=gettext_lazy("Requests"),
        choices=[
            ("rows", gettext_lazy("Of the rows of a dataset")),
            ("file", gettext_lazy("Of a file")),
        ],
        initial="rows",
    )
    team = forms.ChoiceField(label=gettext_lazy("Team"), required=False)
    endpoint = forms.ChoiceField(
        label=gettext_lazy("Address"),
        required=False,
        choices=[(name, name) for name in ENDPOINTS],
        help_text=gettext_lazy("That of the requests in the file."),
    )
    files = forms.FileField(  # type: ignore[assignment]
        label=gettext_lazy("File"),
        required=False,
        help_text=gettext_lazy(
            "JSON lines as OpenAI's batches have them: custom_id, method, url, body."
        ),
        widget=forms.ClearableFileInput(attrs={"accept": ".jsonl"}),
    )
    dataset_version = forms.ChoiceField(label=gettext_lazy("Dataset version"), required=False)
    split = forms.ChoiceField(
        label=gettext_lazy("Split"),
        required=False,
        choices=[
            ("train", gettext_lazy("Training")),
            ("validation", gettext_lazy("Validation")),
        ],
    )
    model = forms.CharField(
        label=gettext_lazy("Model"),
        required=False,
        max_length=200,
        help_text=gettext_lazy("A deployment (team/name), or a version (team/model:v3)."),
        widget=forms.TextInput(attrs={"list": "batch-models", "autocomplete": "off"}),
    )
    system = forms.CharField(
        label=gettext_lazy("Instruction"),
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=gettext_lazy("The system message of every request; may be empty."),
    )
    prompt = forms.CharField(
        label=gettext_lazy("Question"),
        required=False,
        max_length=20_000,
        initial="{text}",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("{text} stands for the text of the row."),
    )
    max_tokens = forms.IntegerField(
        label=gettext_lazy("Longest answer"),
        required=False,
        initial=128,
        min_value=1,
        max_value=131_072,
    )
    temperature = forms.FloatField(
        label=gettext_lazy("Temperature"), required=False, initial=0, min_value=0, max_value=2
    )
    answers_dataset = forms.CharField(
        label=gettext_lazy("Answers as a dataset"),
        required=False,
        max_length=63,
        help_text=gettext_lazy("The next version of this dataset; empty makes a file only."),
    )

    def __init__(self, *args: Any, actor: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        self.teams = {row.slug: row for row in teams_where(actor, PERM)}
        fields["team"].choices = [(slug, str(row)) for slug, row in self.teams.items()]
        rows = DatasetVersion.objects.filter(
            state=VersionState.READY, dataset__team__in=self.teams.values()
        )
        newest = rows.select_related("dataset__team").order_by("-pk")[:MOST_CHOICES]
        self.versions = {str(row.pk): row for row in newest}
        fields["dataset_version"].choices = [
            ("", "–"),
            *((key, f"{row.dataset.team.slug}/{row}") for key, row in self.versions.items()),
        ]
        self._asked()
        self.models = _models(actor, list(self.teams.values()))

    def full_clean(self) -> None:
        """Only what the chosen source has a use for must be there; the page calls neither optional,
        for it shows the fields of one source at a time."""
        for source, names in ASKED.items():
            for name in names:
                self.fields[name].required = self.data.get("source") == source
        super().full_clean()
        self._asked()

    def _asked(self) -> None:
        for names in ASKED.values():
            for name in names:
                self.fields[name].required = True

    def template(self) -> dict[str, Any]:
        """The body of each request."""
        given = self.cleaned_data
        before = [{"role": "system", "content": given["system"]}] if given["system"] else []
        return {
            "messages": [*before, {"role": "user", "content": given["prompt"]}],
            "max_tokens": given["max_tokens"],
            "temperature": given["temperature"],
        }


@takes_uploads(lambda request: require(request.user, PERM))
def batch_new(request: HttpRequest) -> HttpResponse:
    """Begin a batch. A file with errors makes one that says what is wrong with which line."""
    actor: Any = request.user
    form = BatchForm(request.POST or None, actor=actor, initial=_initial(request))
    if request.method == "POST" and form.is_valid():
        try:
            batch = _start(request, actor, form)
        except InvalidInput as error:
            add_errors(form, InvalidInput(_placed(error)))
        else:
            return _begun(request, batch)
    context = {"form": form, "upload_limit": settings.UPLOAD_LIMIT_MIB << 20}
    return render(request, "batches/new.html", context, status=422 if form.errors else 200)


def _start(request: HttpRequest, actor: Any, form: BatchForm) -> Batch:
    given = form.cleaned_data
    if given["source"] == "file":
        file = request.FILES.get("files")
        if not isinstance(file, StoredFile):
            raise InvalidInput({"files": _("Choose a file of requests.")})
        team = form.teams.get(given["team"])
        if team is None:
            raise InvalidInput({"team": _("Choose a team.")})
        kept = file_add(actor=actor, team=team, entry=file.entry(), purpose="batch")
        endpoint = given["endpoint"] or ENDPOINTS[0]
        return batch_start(actor=actor, input_file=kept, endpoint=endpoint)
    version = form.versions.get(given["dataset_version"])
    if version is None:
        raise InvalidInput({"dataset_version": _("Choose a dataset version.")})
    return batch_of_rows(
        actor=actor, dataset_version=version, split=given["split"], model=given["model"],
        template=form.template(), answers_dataset=given["answers_dataset"],
    )  # fmt: skip


def _placed(error: InvalidInput) -> dict[str, Any]:
    """The fields of services by their names on this page."""
    names = {"template.messages": "prompt", "input_file_id": "files", "file": "files"}
    return {names.get(path, path): texts for path, texts in error.errors.items()}


def _begun(request: HttpRequest, batch: Batch) -> HttpResponse:
    if not batch.errors:
        messages.success(request, _("The batch is queued. This page follows it."))
    if "x-upload" in request.headers:
        where = reverse("batch_detail", args=[batch.key])
        return JsonResponse({"location": where}, status=201)
    return redirect("batch_detail", batch.key)


def _initial(request: HttpRequest) -> dict[str, str]:
    names = ("model", "dataset_version", "team", "source")
    return {name: request.GET[name] for name in names if name in request.GET}


def _models(actor: Any, teams: list[Any]) -> list[str]:
    """What can be asked: deployments that serve, then ready versions."""
    rows = deployment_list(actor=actor).filter(active_revision__isnull=False, team__in=teams)
    names = [f"{row.team.slug}/{row.name}" for row in rows[:MOST_CHOICES]]
    versions = ModelVersion.objects.filter(state=ModelState.READY, model__team__in=teams)
    ready = versions.select_related("model__team").order_by("-pk")[:MOST_CHOICES]
    return names + [f"{row.model.team.slug}/{row.model.name}:v{row.number}" for row in ready]
