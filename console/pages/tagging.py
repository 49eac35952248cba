"""Tags as a form: one line to add or change a tag, and a button on each to take it away."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from models_app.jobs.models import Job
from models_app.registry.runs import RUN_KINDS


def tags_from(request: HttpRequest) -> dict[str, str | None]:
    """What the form of `components/_tags.html` asks for."""
    gone = request.POST.get("remove", "")
    if gone:
        return {gone: None}
    return {request.POST.get("name", "").strip(): request.POST.get("value", "")}


def tags_of(thing: Any) -> list[Any]:
    """The tags of a model, a version or a job, with who set them, by name."""
    return list(thing.tags.select_related("set_by").order_by("name"))


def tagging(actor: Any, thing: Any, url_name: str, *args: Any) -> dict[str, Any]:
    """What `components/_tags.html` needs."""
    return {
        "tags": tags_of(thing),
        "tags_url": reverse(url_name, args=args),
        "may_tag": actor.has_perm("registry.set_tag", thing),
    }


def run_tagging(actor: Any, job: Job) -> dict[str, Any]:
    """The same for the page of a job, if the job is a training run."""
    return tagging(actor, job, "run_tags", job.pk) if job.kind in RUN_KINDS else {}
