"""Pages of evaluations: start one, and look at one document by document."""

import math
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.pages.forms import add_errors
from models_app.core.errors import InvalidInput
from models_app.core.permission import require
from models_app.datasets.selectors import versions_ready as data_ready
from models_app.registry import selectors
from models_app.registry.evaluation_comparison import SETTINGS
from models_app.registry.scoring.figures import figures_of, spread_of
from models_app.registry.scoring.measures import BITS_PER_BYTE, incomparable
from models_app.registry.services import evaluation_start
from models_app.registry.states import Task

PERM = "registry.evaluate_version"
MOST_CHOICES = 400
ROWS = 50
#: Fields that the service takes as they are.
PASSED = ("split", "task", "max_documents", "delimiter", "max_tokens", "threads")
#: Others that one can be compared with by its own page.
MOST_OTHERS = 100


class EvaluationForm(forms.Form):
    """What is scored, on what."""

    version = forms.ChoiceField(label=gettext_lazy("Model version"))
    dataset_version = forms.ChoiceField(label=gettext_lazy("Dataset version"))
    split = forms.ChoiceField(
        label=gettext_lazy("Split"),
        choices=[("validation", gettext_lazy("Validation")), ("train", gettext_lazy("Training"))],
        help_text=gettext_lazy(
            "Only documents that it was not trained on tell how good a model is."
        ),
    )
    task = forms.ChoiceField(
        label=gettext_lazy("Task"),
        required=False,
        choices=Task.choices,
        initial=Task.PERPLEXITY,
        help_text=gettext_lazy("Perplexity of documents; the others of datasets of questions."),
    )
    max_documents = forms.IntegerField(
        label=gettext_lazy("Most documents"),
        required=False,
        min_value=1,
        max_value=10**9,
        help_text=gettext_lazy("Empty takes all."),
    )
    delimiter = forms.CharField(
        label=gettext_lazy("Between prompt and choice"),
        required=False,
        strip=False,
        max_length=10,
        initial=" ",
        help_text=gettext_lazy("Of multiple choice. One space, unless the rows have their own."),
    )
    max_tokens = forms.IntegerField(
        label=gettext_lazy("Longest answer"),
        required=False,
        initial=16,
        min_value=1,
        max_value=1024,
        help_text=gettext_lazy("Of exact answers, in tokens. An answer also ends with its line."),
    )
    threads = forms.IntegerField(
        label=gettext_lazy("Threads"), initial=1, min_value=1, max_value=1024
    )

    def clean_task(self) -> str:
        """Not said means the usual one."""
        return self.cleaned_data["task"] or Task.PERPLEXITY.value

    def __init__(self, *args: Any, actor: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        versions = [
            row
            for row in selectors.versions_ready(actor=actor, ability="evaluate")[:MOST_CHOICES]
            if actor.has_perm(PERM, row)
        ]
        data = data_ready(actor=actor)[:MOST_CHOICES]
        self.versions = {str(row.pk): row for row in versions}
        self.data_versions = {str(row.pk): row for row in data}
        self.fields["version"].choices = [  # type: ignore[attr-defined]
            (key, f"{row.model.team.slug}/{row}") for key, row in self.versions.items()
        ]
        self.fields["dataset_version"].choices = [  # type: ignore[attr-defined]
            (key, f"{row.dataset.team.slug}/{row}") for key, row in self.data_versions.items()
        ]


@login_required
def evaluation_new(request: HttpRequest) -> HttpResponse:
    """Score a version; `?version=`, `?dataset_version=` and `?task=` fill the form in."""
    actor: Any = request.user
    require(actor, PERM)
    initial = {
        name: request.GET[name]
        for name in ("version", "dataset_version", "task")
        if name in request.GET
    }
    form = EvaluationForm(request.POST or None, actor=actor, initial=initial)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        given["max_tokens"] = given["max_tokens"] or form["max_tokens"].initial
        try:
            job = evaluation_start(
                actor=actor,
                version=form.versions[given["version"]],
                dataset_version=form.data_versions[given["dataset_version"]],
                **{name: given[name] for name in PASSED if name in form.data},
            )
        except InvalidInput as error:
            add_errors(form, error, prefix="params.")
        else:
            messages.success(request, _("The evaluation is queued."))
            return redirect("job_detail", job.pk)
    status = 422 if form.errors else 200
    return render(request, "models/evaluation_new.html", {"form": form}, status=status)


@login_required
def evaluation_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """The figures of an evaluation, and the score of each document."""
    actor: Any = request.user
    row = selectors.evaluation_get(actor=actor, evaluation_id=pk)
    documents = int(row.metrics.get("documents", 0))
    last = max(1, math.ceil(documents / ROWS))
    text = request.GET.get("page", "1")
    number = min(last, max(1, int(text))) if text.isdecimal() and len(text) < 9 else 1
    scores = selectors.evaluation_scores(evaluation=row, offset=(number - 1) * ROWS, limit=ROWS)
    if row.task == Task.PERPLEXITY:
        for score in scores:
            score["bits_per_byte"] = score["nats"] / math.log(2) / max(1, score["bytes"])
    return render(
        request,
        "models/evaluation.html",
        {
            "evaluation": row,
            "version": row.version,
            "model": row.version.model,
            "figures": figures_of(row),
            "spread": spread_of(row),
            "reason": incomparable(row, BITS_PER_BYTE) if row.task == Task.PERPLEXITY else "",
            "asked": [(name, row.metrics[name]) for name in SETTINGS if name in row.metrics],
            "others": selectors.evaluations_beside(actor=actor, evaluation=row)[:MOST_OTHERS],
            "scores": scores,
            "documents": documents,
            "number": number,
            "previous": number - 1,
            "next": number + 1 if number < last else 0,
        },
    )
