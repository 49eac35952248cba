"""The log of calls: which of them are wanted, and one of them in full."""

from typing import Annotated, Literal

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from models_app.core.actor import Actor
from models_app.core.errors import NotFound
from models_app.deployments.models import Deployment, RequestRecord
from models_app.deployments.selectors import request_list

#: What only newest calls are asked for, such as who called: reading all of them takes minutes.
RECENT = 2000
LARGEST = (1 << 62) - 1
FAILED = Q(status__gte=500) | Q(outcome="replica_lost")

Text = Annotated[str, Field(max_length=254, pattern=r"^[^\x00]*$")]
Id = Annotated[int, Field(ge=1, le=LARGEST)]


class RequestFilter(BaseModel):
    """What calls must be like; what is left out does not matter."""

    model_config = ConfigDict(extra="forbid")

    outcome: Text = Field(
        "",
        description="answered, failed (an error of ours, or an answer that broke off), refused (a "
        "status of 400 to 499), or one outcome such as length",
    )
    status: Annotated[int, Field(ge=100, le=599)] | None = Field(None, description="HTTP status")
    revision: Id | None = Field(None, description="Number of the revision that answered")
    replica: Id | None = Field(None, description="The replica that answered")
    cache: Literal["", "hit", "miss"] = Field("", description="Cache of answers: hit or miss")
    reused: bool | None = Field(None, description="Part of the prompt was read before")
    degraded: bool | None = Field(None, description="Something else answered than was asked")
    resumed: bool | None = Field(None, description="Another replica went on with the answer")
    mirrored: bool | None = Field(None, description="A copy whose answer nobody got")
    user: Text = Field("", description="E-mail address of who called")
    slower_ms: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] | None = Field(
        None, description="Took at least so many milliseconds"
    )
    since: AwareDatetime | None = Field(None, description="Not before")
    until: AwareDatetime | None = Field(None, description="Before")
    request_id: Text = Field("", description="The id, or how it begins")


def requests_found(
    *, actor: Actor, deployment: Deployment, wanted: RequestFilter
) -> QuerySet[RequestRecord]:
    """Calls of a deployment that are so, newest first."""
    rows = request_list(actor=actor, deployment=deployment)
    exact = {
        "status": wanted.status,
        "revision__number": wanted.revision,
        "replica": wanted.replica,
        "cache": wanted.cache or None,
        "mirrored": wanted.mirrored,
        "user__email__iexact": wanted.user or None,
        "total_ms__gte": wanted.slower_ms,
        "at__gte": wanted.since,
        "at__lt": wanted.until,
        "request_id__startswith": wanted.request_id or None,
    }
    rows = rows.filter(**{name: value for name, value in exact.items() if value is not None})
    for condition, yes in (
        (Q(cached_tokens__gt=0), wanted.reused),
        (~Q(degraded=""), wanted.degraded),
        (Q(resumes__gt=0), wanted.resumed),
    ):
        if yes is not None:
            rows = rows.filter(condition if yes else ~condition)
    return rows.filter(_outcome(wanted.outcome)) if wanted.outcome else rows


def _outcome(name: str) -> Q:
    groups = {
        "answered": Q(status__lt=400) & ~Q(outcome="replica_lost"),
        "failed": FAILED,
        "refused": Q(status__gte=400, status__lt=500),
    }
    return groups.get(name, Q(outcome=name))


def requests_with_id(
    *, actor: Actor, deployment: Deployment, request_id: str
) -> list[RequestRecord]:
    """The calls of that id, what a caller got before copies of it; NotFound where there is none.

    An id is the caller's choice, so there can be several; the newest hundred are given.
    """
    rows = request_list(actor=actor, deployment=deployment)
    found = list(rows.filter(request_id=request_id.replace("\0", ""))[:100])
    if not found:
        raise NotFound(
            _("There is no such request. One that has just ended is there within a second.")
        )
    return sorted(found, key=lambda row: row.mirrored)


def request_seen(*, actor: Actor, request_id: str) -> RequestRecord:
    """The actor's own newest call of that id, to whichever deployment, or NotFound: it may not be
    written yet.
    """
    rows = RequestRecord.objects.filter(
        request_id=request_id.replace("\0", ""),
        user_id=actor.pk,
        mirrored=False,
        deployment__in=Deployment.objects.visible_to(actor),
    )
    found = rows.select_related("deployment__team", "revision").order_by("-id").first()
    if found is None:
        raise NotFound(_("There is no such request, or it is not written down yet."))
    return found


def recent_facets(deployment: Deployment) -> dict[str, list[tuple[str | int, str]]]:
    """What the newest calls can be told apart by: `user`, `replica` and `outcome`, each (value,
    label).
    """
    newest = RequestRecord.objects.filter(deployment=deployment).order_by("-id")[:RECENT]
    seen = set(newest.values_list("user__email", "replica_id", "outcome"))
    return {
        "user": [(name, name) for name in sorted({row[0] for row in seen if row[0]})],
        "replica": [(pk, str(pk)) for pk in sorted({r[1] for r in seen if r[1]}, reverse=True)],
        "outcome": [(name, name) for name in sorted({row[2] for row in seen if row[2]})],
    }
