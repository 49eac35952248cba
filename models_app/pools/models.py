"""Nodes (machines whose workers run jobs), the pools that group them, and tokens to join."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from models_app.core.clock import now
from models_app.pools.states import NodeState


class Pool(models.Model):
    """Nodes that carry all labels of `selector`, with limits for what runs on them together.

    Null limits mean: whatever the nodes have.
    """

    name = models.SlugField(max_length=60, unique=True)
    description = models.CharField(max_length=300, blank=True)
    selector = models.JSONField(default=dict, help_text="Labels that a node must carry")
    teams = models.ManyToManyField(
        "access.Team", blank=True, related_name="+", help_text="Who may use it; empty: every team"
    )
    #: Fair share: team slug -> weight; 1 for teams that are not named.
    shares = models.JSONField(default=dict)
    cpus = models.FloatField(null=True, blank=True)
    memory_mib = models.PositiveBigIntegerField(null=True, blank=True)
    disk_mib = models.PositiveBigIntegerField(null=True, blank=True)
    gpus = models.PositiveIntegerField(null=True, blank=True)
    slots = models.PositiveIntegerField(null=True, blank=True)
    #: Its nodes reach each other over a network that nobody else reads or writes.
    private_network = models.BooleanField(
        default=False, db_default=False, help_text="Jobs may run on several of its nodes at once"
    )
    is_default = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        verbose_name = "pool"
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="pool_one_default"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Node(models.Model):
    """A worker service on a machine, by name; `incarnation` changes at every start."""

    name = models.CharField(max_length=120, unique=True)
    #: Never used twice, so that a restarted worker is never taken for the old one.
    incarnation = models.CharField(max_length=80)
    state = models.CharField(max_length=20, choices=NodeState.choices, default=NodeState.READY)
    state_reason = models.CharField(max_length=300, blank=True)
    state_changed_at = models.DateTimeField(null=True, blank=True)
    labels = models.JSONField(default=dict)
    #: What jobs may hold of it together.
    slots = models.PositiveIntegerField(default=1)
    cpus = models.FloatField(default=0)
    memory_mib = models.PositiveBigIntegerField(default=0)
    disk_mib = models.PositiveBigIntegerField(default=0)
    gpus = models.PositiveIntegerField(default=0)
    used_slots = models.PositiveIntegerField(default=0)
    capacity = models.JSONField(default=dict, help_text="cpus, memory_mib, disk, gpus, versions")
    health = models.JSONField(default=dict, help_text="Load, free memory and disk, GPU health")
    #: Server time minus node time, in seconds; only the server's clock decides anything.
    clock_skew_s = models.FloatField(default=0)
    #: Whether it sees the console's data directory; otherwise files travel over HTTP.
    shares_store = models.BooleanField(default=True)
    #: SHA-256 of the secret of a node that joined by token; empty for nodes of the installation.
    secret_digest = models.CharField(max_length=64, blank=True)
    drain_deadline_at = models.DateTimeField(null=True, blank=True)
    remove_when_empty = models.BooleanField(default=False)
    started_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        verbose_name = "node"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=NodeState.values), name="node_state_known")
        ]

    def __str__(self) -> str:
        return self.name


class JoinToken(models.Model):
    """Lets one new machine join. Only a digest is kept; the token itself is shown once."""

    note = models.CharField(max_length=200, blank=True)
    digest = models.CharField(max_length=64, unique=True)
    labels = models.JSONField(default=dict, help_text="Labels that the node gets")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=now, editable=False)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    used_by = models.ForeignKey(
        Node, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "join token"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"join token {self.pk}"
