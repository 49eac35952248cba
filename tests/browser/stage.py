"""Pages for the tests of the scripts: components of the product on data that a test controls."""

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template import engines
from django.urls import path
from django.views.i18n import set_language

PAGES = Path(__file__).parent / "pages"
START = dt.datetime(2026, 1, 5, 8, 0, tzinfo=dt.UTC)


@dataclass
class Stage:
    """What the pages show; tests change it and ring the bell."""

    counter: int = 0
    log: list[tuple[str, str]] = field(default_factory=list)
    closed: bool = False
    points: list[tuple[int, float]] = field(default_factory=list)
    posts: list[dict[str, Any]] = field(default_factory=list)
    fetched: list[tuple[int, int]] = field(default_factory=list)
    results: list[dict[str, str]] = field(default_factory=list)


stage = Stage()


class Example(forms.Form):
    name = forms.CharField(help_text="Lower case letters, digits and hyphens.")
    note = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2}))
    preset = forms.ChoiceField(choices=[("small", "Small"), ("own", "Own shape")])
    layers = forms.IntegerField(required=False)
    start = forms.BooleanField(required=False, label="Start at once")


def show(request: HttpRequest, name: str, **context: Any) -> HttpResponse:
    source = (PAGES / f"{name}.html").read_text(encoding="utf-8")
    context |= {"stage": stage, "topic": f"user.{request.user.pk}"}
    return HttpResponse(engines["django"].from_string(source).render(context, request))


@login_required
def counter(request: HttpRequest) -> HttpResponse:
    return show(request, "counter")


@login_required
def act(request: HttpRequest) -> HttpResponse:
    stage.posts.append(request.POST.dict())
    messages.success(request, f"Done: {request.POST['verb']}")
    return redirect("job_list")


@login_required
def log(request: HttpRequest) -> HttpResponse:
    first = max(0, len(stage.log) - 200)
    lines = [
        {"seq": n + 1, "at": START + dt.timedelta(seconds=n), "level": level, "text": text}
        for n, (level, text) in list(enumerate(stage.log))[first:]
    ]
    chart = {
        "x": [step for step, _ in stage.points],
        "series": [[loss for _, loss in stage.points]],
        "labels": ["loss"],
    }
    return show(request, "log", lines=lines, chart=chart)


@login_required
def log_json(request: HttpRequest) -> JsonResponse:
    after, limit = int(request.GET["after"]), int(request.GET["limit"])
    stage.fetched.append((after, limit))
    part = list(enumerate(stage.log, 1))[after : after + limit]
    lines = [
        [seq, (START + dt.timedelta(seconds=seq)).isoformat(), 1, "stdout", level, text]
        for seq, (level, text) in part
    ]
    return JsonResponse({"lines": lines, "last_seq": len(stage.log), "closed": stage.closed})


@login_required
def metrics_json(request: HttpRequest) -> JsonResponse:
    after = float(request.GET["after_step"])
    points = [{"step": s, "values": {"loss": v}} for s, v in stage.points if s > after]
    return JsonResponse({"points": points})


@login_required
def form(request: HttpRequest) -> HttpResponse:
    return show(request, "form", form=Example(request.POST if request.method == "POST" else None))


def search(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"results": stage.results})


def nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse("")


urlpatterns = [
    path("", nothing, name="overview"),
    path("login/", nothing, name="login"),
    path("counter/", counter, name="job_list"),
    path("log/", log, name="model_list"),
    path("log.json", log_json),
    path("metrics.json", metrics_json),
    path("form/", form, name="dataset_list"),
    path("act/", act, name="act"),
    path("search/", search, name="search"),
    path("i18n/language/", set_language, name="set_language"),
]

handler404 = "console.pages.errors.not_found"
