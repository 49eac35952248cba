"""Jobs, their attempts, log, metrics and checkpoints. The row of the job is the queue."""

from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from models_app.core.clock import now
from models_app.core.models import TeamOwned, TeamQuerySet
from models_app.jobs.part import JobPart
from models_app.jobs.states import HELD, PLACED, JobState, ReasonCode
from models_app.pools.models import Pool

__all__ = ["Checkpoint", "Job", "JobAttempt", "JobPart", "LogChunk", "MetricLatest", "MetricPoint"]
#: Characters of the name of a metric.
LONGEST_METRIC = 250


class Job(TeamOwned):
    """One piece of work. `epoch` is the number of the current attempt and its fencing token."""

    kind = models.CharField(max_length=40)
    title = models.CharField(max_length=200)
    params = models.JSONField(default=dict)
    params_digest = models.CharField(max_length=64)
    #: What it reads, with the digests of the moment it was submitted: [{role, name, digest}].
    inputs = models.JSONField(default=list)
    state = models.CharField(max_length=20, choices=JobState.choices, default=JobState.CREATED)
    reason_code = models.CharField(max_length=20, choices=ReasonCode.choices, blank=True)
    reason = models.TextField(blank=True, help_text="Why it ended so, and what to do")
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="+")
    #: On so many at the same time; each gives what it asks for.
    nodes = models.PositiveSmallIntegerField(default=1, db_default=1)
    #: What it asks of a node besides one slot; zero: nothing in particular.
    cpus = models.FloatField(default=0)
    memory_mib = models.PositiveBigIntegerField(default=0)
    disk_mib = models.PositiveBigIntegerField(default=0)
    gpus = models.PositiveSmallIntegerField(default=0)
    node_selector = models.JSONField(default=dict, help_text="Labels that its node must carry")
    #: Nodes on which it failed in a way that another node may not share.
    excluded_nodes = models.JSONField(default=list)
    priority = models.SmallIntegerField(default=0, help_text="Higher runs first")
    epoch = models.PositiveIntegerField(default=0)
    #: How many attempts in a row may end without a new checkpoint before the job is given up.
    max_attempts = models.PositiveSmallIntegerField(default=4)
    barren_attempts = models.PositiveSmallIntegerField(default=0)
    #: Incarnation of the worker that holds the job; until when it may stay silent: lease_until.
    worker = models.CharField(max_length=80, blank=True)
    node_name = models.CharField(max_length=120, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    run_after = models.DateTimeField(db_default=Now(), help_text="Not to be started before")
    sent_at = models.DateTimeField(null=True, blank=True, help_text="Last go signal")
    scheduled_at = models.DateTimeField(null=True, blank=True, help_text="Placed on its node")
    placement = models.JSONField(
        default=dict, db_default={}, help_text="What spoke for its node when it was placed"
    )
    #: Why it was asked to give way: `preempted` (for a better job) or `drained`.
    yield_reason = models.CharField(max_length=20, blank=True)
    hold_until = models.DateTimeField(
        null=True, blank=True, help_text="Held back after many nodes were lost at once"
    )
    #: Exit, place and step of the last failure: the same twice is no accident.
    failure_signature = models.CharField(max_length=64, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    timeout_s = models.PositiveIntegerField(null=True, blank=True)
    rerun_of = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="reruns"
    )
    idempotency_key = models.CharField(max_length=200, null=True, blank=True)
    # Progress, as last reported.
    percent = models.FloatField(null=True, blank=True)
    stage = models.CharField(max_length=40, blank=True)
    step = models.BigIntegerField(null=True, blank=True)
    total_steps = models.BigIntegerField(null=True, blank=True)
    eta_s = models.FloatField(null=True, blank=True)
    progress_at = models.DateTimeField(null=True, blank=True)
    #: Number of the last stored log line; lines are 1..log_seq without a gap.
    log_seq = models.BigIntegerField(default=0)
    #: Number of the first line that is still kept; those before it have expired.
    log_first = models.BigIntegerField(default=1)
    #: Size of the kept lines, unpacked.
    log_bytes = models.BigIntegerField(default=0)
    result = models.JSONField(null=True, blank=True)

    class Meta:
        verbose_name = _("job")
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["-priority", "id"],
                name="job_pending",
                condition=Q(state=JobState.PENDING),
            ),
            models.Index(
                fields=["node_name"], name="job_placed", condition=Q(state__in=sorted(PLACED))
            ),
            models.Index(
                fields=["lease_until"], name="job_lease", condition=Q(lease_until__isnull=False)
            ),
            models.Index(fields=["team", "-id"], name="job_team"),
            # Searches for training runs by state, among however many other jobs there are.
            models.Index(
                fields=["state", "-id"],
                name="job_run_state",
                condition=Q(kind__in=("train", "external")),
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=JobState.values), name="job_state_known"),
            # A lease without a holder, or a holder without a lease, must fail loudly.
            models.CheckConstraint(
                condition=Q(state__in=sorted(HELD), lease_until__isnull=False)
                | (~Q(state__in=sorted(HELD)) & Q(lease_until__isnull=True)),
                name="job_lease_iff_held",
            ),
            models.UniqueConstraint(fields=["team", "idempotency_key"], name="job_idempotency_key"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.title}"


class JobAttempt(models.Model):
    """One try at a job on one node, or on several: then on that of its part 0."""

    #: Beside the numbers of the other parts.
    number = 0

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts")
    epoch = models.PositiveIntegerField()
    node_name = models.CharField(max_length=120)
    worker = models.CharField(max_length=80)
    pid = models.PositiveIntegerField(null=True, blank=True)
    started_at = models.DateTimeField(default=now, editable=False)
    ended_at = models.DateTimeField(null=True, blank=True)
    exit_code = models.IntegerField(null=True, blank=True)
    exit_signal = models.CharField(max_length=16, blank=True)
    reason_code = models.CharField(max_length=20, choices=ReasonCode.choices, blank=True)
    reason = models.TextField(blank=True)
    tail = models.TextField(blank=True, help_text="The last lines of output, kept with the reason")
    environment = models.JSONField(default=dict, help_text="Packages, system, threads, devices")
    #: How it was fenced in: limits and where they can be read (cgroup path, rlimits).
    isolation = models.JSONField(default=dict)
    #: Bytes of the spool that are stored already, so that a successor can ship the rest.
    spool_offset = models.BigIntegerField(default=0)
    #: Its spool was stored to the end after its process had ended.
    log_complete = models.BooleanField(default=False)
    #: Number of the line that says that its end is missing, until the end turns up.
    log_gap_seq = models.BigIntegerField(null=True, blank=True)

    team_path = "job__team_id"

    class Meta:
        verbose_name = "attempt"
        ordering = ["epoch"]
        constraints = [models.UniqueConstraint(fields=["job", "epoch"], name="attempt_once")]
        indexes = [
            models.Index(
                fields=["ended_at"],
                name="attempt_log_open",
                condition=Q(log_complete=False, log_gap_seq=None),
            ),
            models.Index(fields=["node_name", "-id"], name="attempt_node"),
        ]

    def __str__(self) -> str:
        return f"#{self.job_id} attempt {self.epoch}"


class Tick(models.Model):
    """When something that happens by the clock was done last; see ticks.tick_claim."""

    name = models.CharField(max_length=40, primary_key=True)
    fired_at = models.DateTimeField()

    class Meta:
        verbose_name = "tick"

    def __str__(self) -> str:
        return self.name


class LogChunk(models.Model):
    """Consecutive log lines of one attempt, packed; see models_app.jobs.log_chunks.

    Sequence numbers run over all attempts of a job, 1..log_seq.
    """

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="+")
    epoch = models.PositiveIntegerField()
    first_seq = models.BigIntegerField()
    last_seq = models.BigIntegerField()
    body = models.BinaryField()
    size = models.PositiveIntegerField(default=0, help_text="Bytes, unpacked")
    #: Which levels occur in it, as bits; zero: not known.
    levels = models.PositiveSmallIntegerField(default=0)
    #: Which trigrams occur in it, for the search; null: small, waits to be joined with others.
    grams = models.BinaryField(null=True)
    stored_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = "log chunk"
        constraints = [
            models.UniqueConstraint(fields=["job", "first_seq"], name="log_chunk_once"),
        ]
        indexes = [
            models.Index(fields=["job", "last_seq"], name="log_chunk_seek"),
            models.Index(
                fields=["job", "first_seq"], name="log_chunk_loose", condition=Q(grams=None)
            ),
            BrinIndex(fields=["stored_at"], name="log_chunk_age"),
        ]

    def __str__(self) -> str:
        return f"#{self.job_id} lines {self.first_seq}..{self.last_seq}"


class MetricPoint(models.Model):
    """One value of one metric at one step. A repeated step (after a resume) replaces the value."""

    pk = models.CompositePrimaryKey("job_id", "name", "step")
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=LONGEST_METRIC)
    step = models.BigIntegerField()
    value = models.FloatField()
    at = models.DateTimeField()

    class Meta:
        verbose_name = "metric"

    def __str__(self) -> str:
        return f"{self.name}[{self.step}]={self.value}"


class MetricLatest(models.Model):
    """The newest value of each metric of a job, kept with its points: what searches compare."""

    pk = models.CompositePrimaryKey("job_id", "name")
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="latest_metrics")
    name = models.CharField(max_length=LONGEST_METRIC)
    step = models.BigIntegerField()
    value = models.FloatField()

    class Meta:
        verbose_name = "newest value of a metric"
        indexes = [models.Index(fields=["name", "value", "job"], name="metric_latest_value")]

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


class TextSample(models.Model):
    """What the model of a step wrote after one of its prompts; the text is not to be trusted."""

    pk = models.CompositePrimaryKey("job_id", "step", "place")
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="+")
    step = models.BigIntegerField()
    #: Of the prompt in the list of prompts.
    place = models.PositiveSmallIntegerField()
    prompt = models.TextField(blank=True)
    text = models.TextField(blank=True)
    at = models.DateTimeField()

    class Meta:
        verbose_name = "text sample"

    def __str__(self) -> str:
        return f"#{self.job_id} step {self.step}: {self.text[:40]}"


class Checkpoint(models.Model):
    """A place from which a job can go on. Visible only after its manifest was made durable."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="checkpoints")
    epoch = models.PositiveIntegerField()
    step = models.BigIntegerField()
    path = models.CharField(max_length=400)
    digest = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    metrics = models.JSONField(default=dict)
    #: Its files by content, once they are in the store; empty while they lie on one node only.
    manifest = models.JSONField(default=dict)
    #: Somebody wants to keep it: neither retention nor the end of the job takes it away.
    pinned_at = models.DateTimeField(null=True, blank=True)
    pinned_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=now, editable=False)

    team_path = "job__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("checkpoint")
        ordering = ["-step"]
        constraints = [
            models.UniqueConstraint(fields=["job", "step", "epoch"], name="checkpoint_once")
        ]

    def __str__(self) -> str:
        return f"#{self.job_id} step {self.step}"

    @property
    def team_id(self) -> int:
        return self.job.team_id

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.path.rsplit("/", 1)[-1]
