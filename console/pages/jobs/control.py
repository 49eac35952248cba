"""What people do to jobs on their way: pause, resume, change the priority."""

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
from models_app.core.actor import Actor
from models_app.core.errors import InvalidInput, PermissionDenied
from models_app.core.permission import require
from models_app.jobs import selectors
from models_app.jobs.control import WAITING, job_pause, job_resume, job_set_priority
from models_app.jobs.kind import job_kinds
from models_app.jobs.models import Job
from models_app.jobs.services import URGENT
from models_app.jobs.states import OPEN, JobState


class PriorityForm(forms.Form):
    """A number; the service knows who may go how high."""

    priority = forms.IntegerField(label=gettext_lazy("Priority"))

    def __init__(self, *args: Any, actor: Actor, job: Job, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = {"priority": job.priority}
        most = 100 if actor.has_perm("jobs.prioritise_job", job) else URGENT
        self.fields["priority"].widget.attrs.update({"min": "-100", "max": str(most)})
        self.fields["priority"].help_text = priority_help(most)


def priority_help(most: int) -> str:
    """How high the reader may go, and what it does."""
    said = _("-100 to %(most)s; higher runs first. Replicas have %(urgent)s.")
    return said % {"most": most, "urgent": URGENT}


def too_high() -> str:
    """Said of a priority that needs another permission."""
    said = _("Above %(urgent)s only admins of the team may go. Ask one, or use less.")
    return said % {"urgent": URGENT}


def ways(actor: Actor, job: Job) -> dict[str, bool]:
    """What of it this person can do to this job now."""
    kind = job_kinds.get(job.kind)
    controls = actor.has_perm("jobs.pause_job", job)
    # A replica is stopped and started by its deployment.
    waits = job.state in WAITING and not kind.long_lived
    held = job.state == JobState.PENDING and job.hold_until is not None
    return {
        "pause": controls and (waits or (job.state == JobState.RUNNING and kind.pausable)),
        "resume": controls and (job.state == JobState.PAUSED or held),
        "prioritise": job.state in OPEN and actor.has_perm("jobs.submit_job", job),
    }


@login_required
@require_POST
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    """Save and leave the node until it is resumed."""
    actor: Any = request.user
    job = job_pause(actor=actor, job=selectors.job_get(actor=actor, job_id=pk))
    if job.state == JobState.PAUSING:
        messages.info(request, _("Asked to pause. It saves a checkpoint first."))
    else:
        messages.success(request, _("Paused. Resume it at any time."))
    return redirect("job_detail", pk)


@login_required
@require_POST
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    """Back into the queue."""
    actor: Any = request.user
    job_resume(actor=actor, job=selectors.job_get(actor=actor, job_id=pk))
    messages.success(request, _("Back in the queue. It goes on from its last checkpoint."))
    return redirect("job_detail", pk)


@login_required
def priority(request: HttpRequest, pk: int) -> HttpResponse:
    """The form by itself; the job's page has it as a dialog that sends here."""
    actor: Any = request.user
    job = selectors.job_get(actor=actor, job_id=pk)
    require(actor, "jobs.submit_job", job)
    form = PriorityForm(request.POST or None, actor=actor, job=job)
    if request.method == "POST" and form.is_valid():
        try:
            number = form.cleaned_data["priority"]
            job_set_priority(actor=actor, job=job, priority=number)
        except InvalidInput as error:
            add_errors(form, error)
        except PermissionDenied:
            form.add_error("priority", too_high())
        else:
            messages.success(request, _("The priority is %(n)s now.") % {"n": number})
            return redirect("job_detail", pk)
    return render(
        request,
        "jobs/priority.html",
        {"form": form, "job": job},
        status=422 if form.errors else 200,
    )
