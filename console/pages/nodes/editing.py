"""Pages that ask more of an operator than a yes: how to empty a node, which labels it carries."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.pages.fields import LabelsField, ScaledField
from console.pages.forms import add_errors
from console.pages.nodes.actions import node_for
from models_app.core.clock import now
from models_app.core.errors import InvalidInput
from models_app.core.permission import require
from models_app.jobs.draining import occupants
from models_app.jobs.kind import job_kinds
from models_app.jobs.models import Job
from models_app.jobs.room import Room
from models_app.pools.models import Node
from models_app.pools.selectors import carries
from models_app.pools.services.operations import LONGEST_DRAIN_S, node_drain, node_set_labels

MANAGE = "pools.manage_node"


class DrainForm(forms.Form):
    """How long it may take, and what comes after."""

    deadline_s = ScaledField(
        factor=60,
        label=gettext_lazy("Deadline in minutes"),
        help_text=gettext_lazy("What is still there then is stopped and starts elsewhere."),
    )
    reason = forms.CharField(
        label=gettext_lazy("Why"),
        required=False,
        max_length=300,
        help_text=gettext_lazy("Shown at the node and kept in the audit log."),
    )
    remove = forms.BooleanField(
        label=gettext_lazy("Remove the node when it is empty"), required=False
    )

    def clean_deadline_s(self) -> int:
        """Said in minutes, as it is asked for."""
        seconds: int = self.cleaned_data["deadline_s"]
        if not 0 <= seconds <= LONGEST_DRAIN_S:
            most = LONGEST_DRAIN_S // 60
            raise forms.ValidationError(_("Use 0 to %(most)s minutes.") % {"most": f"{most:,}"})
        return seconds


class LabelsForm(forms.Form):
    """All labels of a node."""

    labels = LabelsField(
        label=gettext_lazy("Labels"),
        help_text=gettext_lazy("One a line, as name=value. Pools select nodes by them."),
    )


@login_required
def node_drain_page(request: HttpRequest, name: str) -> HttpResponse:
    """What would happen to each job, and the form that starts it or moves its deadline."""
    actor, node = node_for(request, name)
    require(actor, MANAGE)
    form = DrainForm(request.POST or None, initial=_drain_initial(node))
    if request.method == "POST" and form.is_valid():
        try:
            node_drain(actor=actor, node=node, **form.cleaned_data)
        except InvalidInput as error:
            add_errors(form, error)
        else:
            messages.success(request, _("%(node)s is being emptied.") % {"node": name})
            return redirect("node_detail", name)
    there = [(row.job, _leaving(row.job)) for row in occupants(node)]
    return render(
        request,
        "nodes/drain.html",
        {"form": form, "node": node, "there": there, "again": node.state == "draining"},
        status=422 if form.errors else 200,
    )


@login_required
def node_labels_page(request: HttpRequest, name: str) -> HttpResponse:
    """All labels in one field; what pools would do with them is seen on return."""
    actor, node = node_for(request, name)
    require(actor, MANAGE)
    form = LabelsForm(request.POST or None, initial={"labels": node.labels})
    if request.method == "POST" and form.is_valid():
        try:
            node_set_labels(actor=actor, node=node, labels=form.cleaned_data["labels"])
        except InvalidInput as error:
            _label_errors(form, error)
        else:
            messages.success(request, _("The labels are saved."))
            return redirect("node_detail", name)
    pools = [
        {"pool": pool, "belongs": carries(node, pool.selector)}
        for pool in Room().pools.values()
        if pool.selector
    ]
    return render(
        request,
        "nodes/labels.html",
        {"form": form, "node": node, "pools": pools},
        status=422 if form.errors else 200,
    )


def _label_errors(form: forms.Form, error: InvalidInput) -> None:
    """`labels.zone: …` belongs to the one field that holds them all; it names the label."""
    for path, texts in error.errors.items():
        label = path.removeprefix("labels").removeprefix(".")
        for text in texts:
            form.add_error("labels", f"{label}: {text}" if label else text)


def _drain_initial(node: Node) -> dict[str, Any]:
    seconds = 1800
    if node.drain_deadline_at is not None:
        seconds = max(0, round((node.drain_deadline_at - now()).total_seconds() / 60) * 60)
    return {
        "deadline_s": seconds,
        "remove": node.remove_when_empty,
        "reason": node.state_reason if node.state == "draining" else "",
    }


def _leaving(job: Job) -> str:
    """What a drain does with a job."""
    kind = job_kinds.get(job.kind)
    if kind.long_lived:
        return _("answers on until another replica is ready elsewhere")
    if job.state == "scheduled":
        return _("has not begun; it goes elsewhere at once")
    if kind.pausable:
        return _("saves a checkpoint and goes on elsewhere")
    return _("may end by itself until the deadline, then it starts again elsewhere")
