"""Jobs on several nodes at the same time: the parts of their attempts, from place to end.

All parts of an attempt are placed together or not at all, and share the job's epoch: whatever ends
the attempt, the loss of a part included, ends every part by the same fence. Part 0 holds the job
like any attempt; only it tells of progress, checkpoints and the result.
"""

from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from models_app.core.errors import FieldError, StaleEpoch
from models_app.jobs.models import Job
from models_app.jobs.part import TAKING, JobPart, PartState
from models_app.jobs.signals import send_go_on_commit, send_look_on_commit
from models_app.jobs.states import HELD, PLACED, JobState
from models_app.pools.models import Node, Pool

#: Parts that are there beside part 0, whose place is that of its job.
OTHERS = Q(number__gt=0)

TAKE = """
UPDATE jobs_jobpart SET state = 'running', worker = %(worker)s, started_at = clock_timestamp(),
       lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
 WHERE id = (
SELECT part.id FROM jobs_jobpart part JOIN jobs_job job ON job.id = part.job_id
 WHERE part.node_name = %(node)s AND part.state = 'placed' AND part.number > 0
   AND job.state = 'running' AND job.epoch = part.epoch AND job.lease_until > clock_timestamp()
 ORDER BY job.priority DESC, job.id FOR UPDATE OF part SKIP LOCKED LIMIT 1)
RETURNING id
"""
RENEW = """
UPDATE jobs_jobpart part
   SET lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
  FROM jobs_job job
 WHERE part.id = %(part)s AND part.state = 'running' AND part.lease_until > clock_timestamp()
   AND job.id = part.job_id AND job.epoch = part.epoch AND job.state = ANY(%(held)s)
   AND job.lease_until > clock_timestamp()
RETURNING job.state
"""


def gang_check(*, pool: Pool, nodes: int) -> None:
    """Refuse a job on several nodes where what they exchange could be read or changed."""
    if nodes > 1 and not pool.private_network:
        raise FieldError(
            "pool",
            _(
                "What several nodes of one job exchange is not encrypted, and the pool %(pool)s "
                "is not said to have a private network. Choose a pool that is, or one node."
            )
            % {"pool": pool.name},
        )


def parts_taking() -> QuerySet[JobPart]:
    """Parts that take room on their nodes now."""
    placed = Q(job__state=JobState.SCHEDULED, epoch=F("job__epoch") + 1)
    held = Q(job__state__in=sorted(HELD), epoch=F("job__epoch"))
    return JobPart.objects.filter(placed | held, state__in=TAKING)


def jobs_on(node: str) -> QuerySet[Job]:
    """Jobs that take room on a node, also those of which only a part is there."""
    parts = parts_taking().filter(OTHERS, node_name=node).values("job")
    return Job.objects.filter(Q(node_name=node) | Q(pk__in=parts), state__in=sorted(PLACED))


def nodes_of(job: Job) -> list[str]:
    """The nodes on which a placed job takes room, that of part 0 first."""
    if job.nodes == 1:
        return [job.node_name]
    others = parts_taking().filter(OTHERS, job=job).order_by("number")
    return [job.node_name, *others.values_list("node_name", flat=True)]


def parts_of(job: Job) -> list[JobPart]:
    """The parts of the present attempt, or of the last one."""
    epoch = job.epoch + (job.state == JobState.SCHEDULED)
    return list(job.parts.filter(epoch=epoch).order_by("number"))


def parts_place(job: Job, nodes: list[Node]) -> None:
    """In the transaction that places the job: the rows of its next attempt."""
    epoch = job.epoch + 1
    JobPart.objects.filter(job=job, epoch=epoch).delete()  # of places that nobody took
    JobPart.objects.bulk_create(
        JobPart(job=job, epoch=epoch, number=number, node_name=node.name)
        for number, node in enumerate(nodes)
    )


def parts_call(job: Job) -> None:
    """Part 0 runs: the nodes of the others may take theirs up."""
    for name in nodes_of(job)[1:]:
        send_go_on_commit(name, 1)


def parts_waiting(node: str) -> int:
    """How many parts this node may take up."""
    rows = JobPart.objects.filter(OTHERS, node_name=node, state=PartState.PLACED)
    return rows.filter(job__state=JobState.RUNNING, epoch=F("job__epoch")).count()


def part_claim(*, worker: str, node: str) -> JobPart | None:
    """Take up a part that is placed here and whose job runs; its job is at hand as `part.job`."""
    values: dict[str, Any] = {"worker": worker, "node": node, "lease": settings.JOB_LEASE_S}
    with connection.cursor() as cursor:
        cursor.execute(TAKE, values)
        row = cursor.fetchone()
    return None if row is None else JobPart.objects.select_related("job").get(pk=row[0])


def part_renew(*, part: JobPart) -> str:
    """Sign of life. Returns the state of the job, one of HELD, or raises StaleEpoch."""
    values: dict[str, Any] = {"part": part.pk, "lease": settings.JOB_LEASE_S, "held": sorted(HELD)}
    with connection.cursor() as cursor:
        cursor.execute(RENEW, values)
        row = cursor.fetchone()
    if row is None:
        raise StaleEpoch(
            f"Part {part.number} of attempt {part.epoch} of job {part.job_id} is over."
        )
    return str(row[0])


def part_started(*, part: JobPart, pid: int) -> None:
    """Its process runs."""
    JobPart.objects.filter(pk=part.pk).update(pid=pid)


@transaction.atomic
def meeting_set(*, job: Job, meeting: dict[str, Any]) -> None:
    """Part 0 listens: where all parts of this attempt meet. Raises StaleEpoch."""
    row = Job.objects.select_for_update().filter(pk=job.pk, epoch=job.epoch, state__in=sorted(HELD))
    if not row.exists():
        raise StaleEpoch(f"Attempt {job.epoch} of job {job.pk} has lost its lease.")
    JobPart.objects.filter(job=job, epoch=job.epoch, number=0).update(meeting=meeting)


def meeting_get(*, part: JobPart) -> dict[str, Any]:
    """Where all parts of this attempt meet; empty until part 0 listens."""
    rows = JobPart.objects.filter(job_id=part.job_id, epoch=part.epoch, number=0)
    found: dict[str, Any] = rows.values_list("meeting", flat=True).get()
    return found


def part_end(*, part: JobPart) -> None:
    """It has done what it had to: its node is free for others."""
    JobPart.objects.filter(pk=part.pk, state=PartState.RUNNING).update(
        state=PartState.ENDED, ended_at=Now(), lease_until=None
    )


def parts_end(job: Job) -> None:
    """With the end of an attempt: its parts are over, and their nodes hear of it at once."""
    JobPart.objects.filter(job=job, epoch=job.epoch, state__in=TAKING).update(
        state=PartState.ENDED, ended_at=Now(), lease_until=None
    )
    send_look_on_commit(job)
