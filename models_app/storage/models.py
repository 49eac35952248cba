"""What is known of the store: its files, who holds them, reports, runs over it, unfinished uploads.

All but runs and uploads is a picture made by `inventory`; what is removed is decided by looking
again, never by the picture alone.
"""

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from models_app.core.clock import now
from models_app.core.models import TeamOwned
from models_app.storage.states import RunState, UploadState


class Holder(models.Model):
    """A row somewhere that names stored files: a version, a checkpoint, a job."""

    #: Nothing here keeps a file alive; see references.py.
    names_files = False

    #: Its model, such as `datasets.datasetversion`, and its number there.
    kind = models.CharField(max_length=60)
    object_id = models.BigIntegerField()
    team = models.ForeignKey("access.Team", null=True, on_delete=models.CASCADE, related_name="+")
    label = models.CharField(max_length=200)
    files = models.BigIntegerField(default=0)
    #: What its files would need if each holder had its own; its share of what lies there; and what
    #: only it holds. The shares of all holders add up to what is stored for them.
    bytes = models.BigIntegerField(default=0)
    share_bytes = models.BigIntegerField(default=0)
    own_bytes = models.BigIntegerField(default=0)
    #: Since when it names nothing any more.
    gone_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("holder of files")
        constraints = [models.UniqueConstraint(fields=["kind", "object_id"], name="holder_once")]

    def __str__(self) -> str:
        return self.label


class StoredFile(models.Model):
    """One file of the store."""

    names_files = False

    sha256 = models.CharField(max_length=64, unique=True)
    size = models.BigIntegerField()
    #: When somebody last stored it or relied on it, by the store's clock.
    renewed_at = models.DateTimeField()
    #: How many rows name it; the first of them, and the last ones once there is none.
    references = models.IntegerField(default=0)
    named_by = models.JSONField(default=list)
    unnamed_since = models.DateTimeField(null=True)
    verified_at = models.DateTimeField(null=True)
    #: Its bytes were found to be others; it was set aside until somebody stores it again.
    damaged_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("stored file")
        indexes = [
            models.Index(
                fields=["unnamed_since"],
                name="stored_file_garbage",
                condition=models.Q(unnamed_since__isnull=False),
            ),
            models.Index(fields=["verified_at", "sha256"], name="stored_file_verified"),
        ]

    def __str__(self) -> str:
        return self.sha256[:12]


class StoreReport(models.Model):
    """The store at one moment."""

    names_files = False

    at = models.DateTimeField(default=now)
    took_s = models.FloatField()
    home = models.CharField(max_length=8, help_text="disk or s3")
    place = models.CharField(max_length=400)
    files = models.BigIntegerField()
    bytes = models.BigIntegerField()
    #: Sum over all holders: what would lie there if nothing were shared.
    logical_bytes = models.BigIntegerField()
    garbage_files = models.BigIntegerField()
    garbage_bytes = models.BigIntegerField()
    leftover_files = models.BigIntegerField(default=0)
    leftover_bytes = models.BigIntegerField(default=0)
    free_bytes = models.BigIntegerField(null=True)
    total_bytes = models.BigIntegerField(null=True)
    #: Named by a holder, but not there: `[{"file", "holders"}]`, the first ones.
    missing = models.JSONField(default=list)
    #: By kind and by slug of the team: `{…: {files, bytes, share_bytes, own_bytes}}`.
    by_kind = models.JSONField(default=dict)
    by_team = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("report on the store")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.place} {self.at:%Y-%m-%d %H:%M}"


class StoreRun(models.Model):
    """A pass over the store that takes long: collecting garbage, or checking files."""

    class Kind(models.TextChoices):
        COLLECT = "collect", _("Collect garbage")
        VERIFY = "verify", _("Check files")

    kind = models.CharField(max_length=12, choices=Kind.choices)
    state = models.CharField(max_length=12, choices=RunState.choices, default=RunState.QUEUED)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=now, editable=False)
    finished_at = models.DateTimeField(null=True)
    #: One process works on it, until then at the latest.
    claimed_until = models.DateTimeField(null=True)
    #: Collecting: hours for which nobody may have named a file. Checking: how many; null: all.
    grace_hours = models.FloatField(null=True)
    sample = models.BigIntegerField(null=True)
    files = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    files_total = models.BigIntegerField(null=True)
    bytes_total = models.BigIntegerField(null=True)
    #: Unfinished files that were cleared away.
    leftovers = models.BigIntegerField(default=0)
    #: Damaged files: `[{"file", "size", "holders"}]`.
    damaged = models.JSONField(default=list)
    error = models.TextField(blank=True)

    class Meta:
        verbose_name = _("run over the store")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=RunState.values), name="store_run_state_known"
            ),
            models.UniqueConstraint(
                fields=["kind"],
                condition=models.Q(state__in=[RunState.QUEUED, RunState.RUNNING]),
                name="store_run_one_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} #{self.pk}"


class Upload(TeamOwned):
    """A file that is sent in pieces. It becomes a stored file when its last byte has come."""

    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=255)
    size = models.BigIntegerField()
    #: Announced by the sender, or found at the end.
    sha256 = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=12, choices=UploadState.choices, default=UploadState.OPEN)
    touched_at = models.DateTimeField(default=now)

    class Meta:
        verbose_name = _("upload")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=UploadState.values), name="upload_state_known"
            )
        ]

    def __str__(self) -> str:
        return self.name
