"""What people do with approvals: ask, vote, take back; and how requests end by themselves.

Locks are always taken in the order subject, request. A subject's own services hold its lock when
they call `approval_request`, `approval_execute` or `approval_drop`.
"""

import datetime as dt
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from models_app.approvals.models import ApprovalRequest, Environment, Vote
from models_app.approvals.selectors import approvals_given, why_not_vote
from models_app.approvals.states import ALLOWED, Decision, RequestState
from models_app.approvals.subject import subjects
from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM, Actor
from models_app.core.clock import now
from models_app.core.errors import Conflict, FieldError, InvalidInput, PermissionDenied, WrongState
from models_app.core.names import clean_text, clean_title
from models_app.core.permission import require
from models_app.core.states import advance
from models_app.events.publish import publish_on_commit

#: States in which a request still leads somewhere.
LIVE = (RequestState.OPEN, RequestState.APPROVED)


@transaction.atomic
def approval_request(
    *,
    actor: Actor,
    team: Any,
    environment: Environment,
    subject_type: str,
    subject_id: int,
    title: str,
    reason: str = "",
) -> ApprovalRequest:
    """Ask for agreement to the present state of a subject. One open request per subject."""
    digest = subjects.get(subject_type).current_digest(subject_id)
    try:
        with transaction.atomic():
            request = ApprovalRequest.objects.create(
                team=team,
                created_by_id=actor.pk,
                environment=environment,
                subject_type=subject_type,
                subject_id=subject_id,
                subject_digest=digest,
                policy_version=environment.policy_version,
                title=clean_title(title),
                reason=clean_text(reason, "reason"),
                required=environment.required_approvals,
                expires_at=now() + dt.timedelta(hours=environment.expires_after_h),
            )
    except IntegrityError:
        raise Conflict(_("An approval of this is already being asked for.")) from None
    audit_record(
        actor=actor,
        action="approval.requested",
        obj=request,
        changes={"digest": digest, "required": request.required, "environment": environment.name},
    )
    _announce(request)
    return request


def approval_vote(
    *, actor: Actor, request: ApprovalRequest, decision: str, comment: str = ""
) -> ApprovalRequest:
    """Approve or reject. Enough approvals, or one rejection, decide the request.

    A request that has meanwhile expired or become stale is moved there first, in a transaction of
    its own: the refusal of the vote must not undo that.
    """
    require(actor, "approvals.vote_request", request)
    approval_settle(request_id=request.pk)
    return _vote(actor, request, decision, comment)


@transaction.atomic
def _vote(actor: Actor, request: ApprovalRequest, decision: str, comment: str) -> ApprovalRequest:
    row = _locked(request)
    if row.state != RequestState.OPEN:
        said = _("This request is %(state)s: votes count no longer.")
        raise WrongState(said % {"state": row.get_state_display()}, state=row.state)
    refusal = why_not_vote(actor=actor, request=row)
    if refusal:
        raise PermissionDenied(refusal)
    if decision not in Decision.values:
        raise FieldError("decision", _("Choose approve or reject."))
    comment = clean_text(comment, "comment")
    if decision == Decision.REJECT and not comment:
        said = _("Say why you reject it, so that the requester can change it.")
        raise FieldError("comment", said)
    Vote.objects.create(request=row, user_id=actor.pk, decision=decision, comment=comment)
    audit_record(actor=actor, action="approval.voted", obj=row, changes={"decision": decision})
    if decision == Decision.REJECT:
        _end(row, RequestState.REJECTED, actor, decided_at=Now())
    elif approvals_given(row) >= row.required:
        _approve(row, actor)
    _announce(row)
    return row


@transaction.atomic
def approval_withdraw(*, actor: Actor, request: ApprovalRequest) -> ApprovalRequest:
    """The requester, or an admin of the team, takes the request back."""
    own = actor.pk is not None and actor.pk == request.created_by_id
    require(actor, f"approvals.{'withdraw_request' if own else 'withdraw_any_request'}", request)
    row = _locked(request)
    if row.state not in LIVE:
        said = _("This request is already %(state)s.") % {"state": row.get_state_display()}
        raise WrongState(said, state=row.state)
    _end(row, RequestState.WITHDRAWN, actor)
    return row


@transaction.atomic
def approval_settle(*, request_id: int) -> ApprovalRequest:
    """Move a request that is too late, or whose subject or policy has changed, where it belongs."""
    row = _locked(ApprovalRequest.objects.get(pk=request_id))
    if row.state not in LIVE:
        return row
    if row.expires_at <= now():
        _end(row, RequestState.EXPIRED, SYSTEM)
    elif (
        subjects.get(row.subject_type).current_digest(row.subject_id) != row.subject_digest
        or row.environment.policy_version != row.policy_version
    ):
        _end(row, RequestState.STALE, SYSTEM)
    return row


def approvals_expire() -> int:
    """The sweep: any process may run it at any time. Returns how many requests ended."""
    late = ApprovalRequest.objects.filter(state__in=LIVE, expires_at__lte=Now()).order_by("id")
    ids = list(late.values_list("pk", flat=True)[:200])
    return sum(approval_settle(request_id=pk).state == RequestState.EXPIRED for pk in ids)


def approval_stands(request: ApprovalRequest | None, *, digest: str) -> bool:
    """Whether an approval given earlier still allows exactly this state, under today's policy."""
    return (
        request is not None
        and request.state in (RequestState.APPROVED, RequestState.EXECUTED)
        and request.subject_digest == digest
        and request.policy_version == request.environment.policy_version
        and (request.state == RequestState.EXECUTED or request.expires_at > now())
    )


@transaction.atomic
def approval_execute(*, request: ApprovalRequest) -> None:
    """What was approved is done now; called under the subject's lock."""
    row = ApprovalRequest.objects.select_for_update().get(pk=request.pk)
    if row.state == RequestState.EXECUTED:
        return
    advance(row, RequestState.EXECUTED, allowed=ALLOWED)
    audit_record(actor=SYSTEM, action="approval.executed", obj=row)
    _announce(row)


@transaction.atomic
def approval_drop(
    *, actor: Actor, subject_type: str, subject_id: int, state: str = RequestState.STALE
) -> None:
    """The subject has gone another way: its live request ends. `on_ended` is not called back.

    Called by the subject's own services, under its lock.
    """
    rows = ApprovalRequest.objects.select_for_update().filter(
        subject_type=subject_type, subject_id=subject_id, state__in=LIVE
    )
    for row in rows.order_by("id"):
        _end(row, state, actor, tell=False)


@transaction.atomic
def environment_policy_change(
    *,
    actor: Actor,
    environment: Environment,
    protected: bool,
    required_approvals: int,
    expires_after_h: int,
) -> Environment:
    """Change who must agree. What was asked or approved before, and is not done yet, is stale."""
    require(actor, "approvals.change_policy")
    _check_policy(required_approvals, expires_after_h)
    row = Environment.objects.select_for_update(no_key=True).get(pk=environment.pk)
    new = {
        "protected": protected,
        "required_approvals": required_approvals,
        "expires_after_h": expires_after_h,
    }
    changes = {k: [getattr(row, k), v] for k, v in new.items() if getattr(row, k) != v}
    if not changes:
        return row
    for name, value in new.items():
        setattr(row, name, value)
    row.policy_version += 1
    row.save(update_fields=[*new, "policy_version"])
    audit_record(actor=actor, action="environment.policy_changed", obj=row, changes=changes)
    live = ApprovalRequest.objects.filter(environment=row, state__in=LIVE).order_by("id")
    for request_id in list(live.values_list("pk", flat=True)):
        approval_settle(request_id=request_id)
    return row


def _check_policy(required_approvals: int, expires_after_h: int) -> None:
    errors: dict[str, str | list[str]] = {}
    if not 1 <= required_approvals <= 10:
        errors["required_approvals"] = _("Use a number from 1 to %(most)s.") % {"most": 10}
    if not 1 <= expires_after_h <= 24 * 30:
        errors["expires_after_h"] = _("Use 1 to %(most)s hours.") % {"most": 720}
    if errors:
        raise InvalidInput(errors)


def _locked(request: ApprovalRequest) -> ApprovalRequest:
    subjects.get(request.subject_type).lock(request.subject_id)
    rows = ApprovalRequest.objects.select_for_update(of=("self",)).select_related("environment")
    return rows.get(pk=request.pk)


def _approve(row: ApprovalRequest, actor: Actor) -> None:
    # An approval is good for as long as a request stays open, counted from now.
    until = now() + dt.timedelta(hours=row.environment.expires_after_h)
    advance(row, RequestState.APPROVED, allowed=ALLOWED, decided_at=now(), expires_at=until)
    audit_record(actor=actor, action="approval.approved", obj=row)
    subjects.get(row.subject_type).on_approved(row)


def _end(row: ApprovalRequest, state: str, actor: Actor, tell: bool = True, **changes: Any) -> None:
    advance(row, state, allowed=ALLOWED, **changes)
    audit_record(actor=actor, action=f"approval.{state}", obj=row)
    if tell:
        subjects.get(row.subject_type).on_ended(row)
    _announce(row)


def _announce(request: ApprovalRequest) -> None:
    data = {"id": request.pk, "state": str(request.state)}
    publish_on_commit("approval.changed", data, f"approval.{request.pk}", f"team.{request.team_id}")
