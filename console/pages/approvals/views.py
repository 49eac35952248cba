"""Views of approvals: each reads through selectors or calls one service."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from console.pages.approvals.forms import DecisionForm, PolicyForm
from console.pages.context import nav_count
from console.pages.forms import add_errors
from console.pages.navigation import url_or_none
from models_app.approvals import selectors
from models_app.approvals.models import ApprovalRequest
from models_app.approvals.services import (
    LIVE,
    approval_vote,
    approval_withdraw,
    environment_policy_change,
)
from models_app.approvals.states import RequestState
from models_app.approvals.subject import subjects
from models_app.core.errors import InvalidInput
from models_app.core.permission import require
from models_app.core.teams import team_rows

TABS = ("me", "mine", "all")


@nav_count("approval_list", "approval.changed")
def waiting_for_me(user: Any) -> dict[str, Any]:
    """The number beside the navigation entry."""
    count = selectors.approvals_waiting_for(user)
    return {"value": count, "tone": "violet", "hint": _("waiting for you")}


@login_required
def approval_list(request: HttpRequest) -> HttpResponse:
    """The inbox: what waits for me, what I asked for, everything of my teams."""
    actor: Any = request.user
    whose = request.GET.get("for", "me")
    whose = whose if whose in TABS else "me"
    state = request.GET.get("state", "")
    rows = selectors.approval_list(actor=actor, whose=whose, state=state)
    page = Paginator(rows, 25).get_page(request.GET.get("page"))
    count = page.paginator.count
    shown: list[Any] = list(page.object_list)
    for row in shown:
        row.given = sum(vote.decision == "approve" for vote in row.votes.all())
    labels = {
        "me": _("Waiting for me"),
        "mine": _("Asked by me"),
        "all": _("All of my teams"),
    }
    return render(
        request,
        "approvals/list.html",
        {
            "page": page,
            "rows": shown,
            "whose": whose,
            "tabs": [(tab, labels[tab]) for tab in TABS],
            "filters": [
                {
                    "name": "state",
                    "label": _("Any state"),
                    "value": state,
                    "options": RequestState.choices,
                }
            ],
            "result": ngettext("%(n)s request", "%(n)s requests", count) % {"n": count},
            "topics": " ".join(f"team.{team.pk}" for team in team_rows(actor)[:50]),
        },
    )


@login_required
def approval_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """What changes, the evidence, who decides, and the decision itself."""
    actor: Any = request.user
    row = selectors.approval_get(actor=actor, request_id=pk)
    form = DecisionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            decided = approval_vote(actor=actor, request=row, **form.cleaned_data)
        except InvalidInput as error:
            add_errors(form, error)
        else:
            messages.success(request, _said(decided))
            return redirect("approval_detail", pk)
    return render(
        request,
        "approvals/detail.html",
        _review(actor, row, form),
        status=422 if form.errors else 200,
    )


def _review(actor: Any, row: ApprovalRequest, form: DecisionForm) -> dict[str, Any]:
    description = subjects.get(row.subject_type).describe(row)
    votes = list(row.votes.select_related("user"))
    voted = {vote.user_id for vote in votes}
    own = actor.pk == row.created_by_id
    withdraw = "approvals.withdraw_request" if own else "approvals.withdraw_any_request"
    return {
        "row": row,
        "form": form,
        "subject": description,
        "links": [
            (link.label, href)
            for link in description.links
            if (href := url_or_none(link.url_name, *link.args))
        ],
        "votes": votes,
        "given": selectors.approvals_given(row),
        "waiting": [user for user in selectors.approvers_of(row) if user.pk not in voted],
        "is_open": row.state == RequestState.OPEN,
        "why_not": selectors.why_not_vote(actor=actor, request=row),
        "may_withdraw": row.state in LIVE and actor.has_perm(withdraw, row),
    }


def _said(row: ApprovalRequest) -> str:
    if row.state == RequestState.REJECTED:
        return _("Rejected. Nothing changes.")
    if row.state == RequestState.OPEN:
        return _("Your vote is counted; more are needed.")
    return _("Approved. The change is being carried out.")


@login_required
@require_POST
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a request back."""
    actor: Any = request.user
    row = selectors.approval_get(actor=actor, request_id=pk)
    approval_withdraw(actor=actor, request=row)
    messages.success(request, _("The request is withdrawn."))
    return redirect("approval_detail", pk)


@login_required
def policy_list(request: HttpRequest) -> HttpResponse:
    """Environments and who must agree; platform admins change it."""
    return render(
        request,
        "approvals/policies.html",
        {
            "environments": selectors.environment_list(),
            "may_change": request.user.has_perm("approvals.change_policy"),
        },
    )


@login_required
def policy_change(request: HttpRequest, name: str) -> HttpResponse:
    """The form of one policy."""
    actor: Any = request.user
    require(actor, "approvals.change_policy")
    row = selectors.environment_list().filter(name=name).first()
    if row is None:
        raise Http404
    fields = ("protected", "required_approvals", "expires_after_h")
    form = PolicyForm(request.POST or None, initial={f: getattr(row, f) for f in fields})
    if request.method == "POST" and form.is_valid():
        try:
            environment_policy_change(actor=actor, environment=row, **form.cleaned_data)
        except InvalidInput as error:
            add_errors(form, error)
        else:
            messages.success(request, _("The policy is changed."))
            return redirect("approval_policies")
    live = ApprovalRequest.objects.filter(environment=row, state__in=LIVE).count()
    return render(
        request,
        "approvals/policy.html",
        {"environment": row, "form": form, "live": live},
        status=422 if form.errors else 200,
    )
