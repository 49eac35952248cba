"""Nodes: the machines (or containers) whose workers run jobs."""

from django.db import models


class Node(models.Model):
    """A worker service on a machine, by name; `incarnation` changes at every start."""

    name = models.CharField(max_length=120, unique=True)
    #: Never used twice, so that a restarted worker is never taken for the old one.
    incarnation = models.CharField(max_length=80)
    queues = models.JSONField(default=list)
    slots = models.PositiveIntegerField(default=1)
    used_slots = models.PositiveIntegerField(default=0)
    capacity = models.JSONField(default=dict, help_text="cpus, memory_mib, gpus, versions")
    started_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        verbose_name = "node"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
