"""The stored answers of revisions: kept once, and compared when requests are to move back."""

from collections.abc import Sequence

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM
from models_app.core.clock import now
from models_app.deployments.models import GoldenAnswer, Revision, Rollout
from models_app.deployments.services.course import rollout_change, rollout_note
from models_app.deployments.services.locking import announce, locked, reconcile_soon
from models_app.deployments.states import ROLLOUT_LIVE, Golden

#: After so many replays without an answer the roll-out fails like one with another answer.
UNANSWERED = 5


@transaction.atomic
def golden_store(*, revision_id: int, answers: Sequence[tuple[str, str, list[int]]]) -> bool:
    """Keep (prompt, text, tokens) of a revision, once. False: somebody else was faster."""
    revision = Revision.objects.select_related("deployment").get(pk=revision_id)
    locked(revision.deployment)
    if revision.golden_answers.exists():
        return False
    GoldenAnswer.objects.bulk_create(
        GoldenAnswer(revision=revision, number=number, prompt=prompt, text=text, tokens=tokens)
        for number, (prompt, text, tokens) in enumerate(answers, 1)
    )
    audit_record(
        actor=SYSTEM, action="golden.stored", obj=revision, changes={"answers": len(answers)}
    )
    row = Rollout.objects.filter(revision=revision).first()
    if row is not None:
        rollout_note(row, "golden_stored", answers=len(answers))
    announce(revision.deployment)
    return True


@transaction.atomic
def golden_compared(
    *, rollout_id: int, replica_id: int, answers: Sequence[tuple[int, str, bool]]
) -> bool:
    """What (answer, text, whether it is the same) a replay gave. The switch goes on, or fails."""
    row = _due(rollout_id)
    if row is None:
        return False
    at = now()
    for pk, text, same in answers:
        GoldenAnswer.objects.filter(pk=pk).update(
            replayed_at=at, replay_equal=same, replay_text="" if same else text
        )
    wrong = [pk for pk, _text, same in answers if not same]
    data = {"answers": len(answers), "different": len(wrong), "replica": replica_id}
    if wrong:
        _refuse(row, GoldenAnswer.objects.get(pk=wrong[0]), data)
    else:
        rollout_change(row, golden=Golden.EQUAL)
        audit_record(actor=SYSTEM, action="golden.equal", obj=row.revision, changes=data)
        rollout_note(row, "golden_equal", **data)
    announce(row.deployment)
    reconcile_soon()
    return not wrong


@transaction.atomic
def golden_unanswered(*, rollout_id: int, why: str) -> None:
    """A replica that is ready did not answer: tried again a few times, then the switch fails."""
    row = _due(rollout_id)
    if row is None:
        return
    rollout_note(row, "golden_unanswered", why=why)
    if row.events.filter(kind="golden_unanswered").count() >= UNANSWERED:
        verdict = _("The stored answers could not be replayed: %(why)s") % {"why": why}
        rollout_change(row, golden=Golden.DIFFERENT, verdict=verdict)
        audit_record(
            actor=SYSTEM, action="golden.different", obj=row.revision, changes={"why": why}
        )
    announce(row.deployment)


def _refuse(row: Rollout, answer: GoldenAnswer, data: dict[str, int]) -> None:
    verdict = _(
        "r%(n)s does not answer as it did: to %(prompt)s it said %(before)s and now says %(now)s."
        " Requests were not moved."
    ) % {
        "n": row.revision.number,
        "prompt": repr(answer.prompt[:80]),
        "before": repr(answer.text[:200]),
        "now": repr(answer.replay_text[:200]),
    }
    rollout_change(row, golden=Golden.DIFFERENT, verdict=verdict)
    changes = {**data, "prompt": answer.prompt[:80], "why": verdict}
    audit_record(actor=SYSTEM, action="golden.different", obj=row.revision, changes=changes)
    rollout_note(row, "golden_different", why=verdict, **data)


def _due(rollout_id: int) -> Rollout | None:
    row = Rollout.objects.select_related("deployment").filter(pk=rollout_id).first()
    if row is None:
        return None
    deployment = locked(row.deployment)
    rows = Rollout.objects.filter(pk=rollout_id, state__in=ROLLOUT_LIVE, golden=Golden.DUE)
    fresh = rows.select_related("revision").first()
    if fresh is not None:
        fresh.deployment = fresh.revision.deployment = deployment
    return fresh
