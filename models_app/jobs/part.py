"""The parts of an attempt at a job that runs on several nodes at the same time."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class PartState(models.TextChoices):
    PLACED = "placed", _("Starting")
    RUNNING = "running", _("Running")
    ENDED = "ended", _("Ended")


#: It takes room on its node, as long as its job does.
TAKING = (PartState.PLACED, PartState.RUNNING)


class JobPart(models.Model):
    """One node's share of an attempt. Jobs on one node have none; `epoch` fences all parts of one.

    The rows are made with the places, under the epoch that the attempt is going to have. Part 0
    leads: its node holds the job and its lease, and its attempt is a JobAttempt, too. The others
    have leases of their own; whatever becomes of one of them becomes of the job.
    """

    job = models.ForeignKey("jobs.Job", on_delete=models.CASCADE, related_name="parts")
    epoch = models.PositiveIntegerField()
    number = models.PositiveSmallIntegerField()
    node_name = models.CharField(max_length=120)
    state = models.CharField(max_length=20, choices=PartState.choices, default=PartState.PLACED)
    #: Incarnation of the worker that holds it; until when it may stay silent: lease_until. Until
    #: it is taken up, that is how long this may take.
    worker = models.CharField(max_length=80, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    #: Of part 0: where all meet (host, port, token), and on which machine that is.
    meeting = models.JSONField(default=dict)
    pid = models.PositiveIntegerField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    #: As with an attempt: how much of its spool is stored, and whether that is all.
    spool_offset = models.BigIntegerField(default=0)
    log_complete = models.BooleanField(default=False)
    log_gap_seq = models.BigIntegerField(null=True, blank=True)

    team_path = "job__team_id"

    class Meta:
        verbose_name = _("part of a job")
        ordering = ["epoch", "number"]
        constraints = [
            models.UniqueConstraint(fields=["job", "epoch", "number"], name="part_once"),
            models.CheckConstraint(
                condition=Q(state__in=PartState.values), name="part_state_known"
            ),
        ]
        indexes = [
            models.Index(
                fields=["node_name"], name="part_taking", condition=Q(state__in=sorted(TAKING))
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.job_id} attempt {self.epoch} part {self.number}"

    @property
    def address(self) -> str:
        """Where all parts meet; only part 0 knows."""
        return f"{self.meeting['host']}:{self.meeting['port']}" if self.meeting else ""
