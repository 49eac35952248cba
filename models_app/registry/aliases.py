"""Aliases: names such as `champion` that point to one version of a model, and where they pointed.

An alias is moved by compare-and-swap, so that two people who move it at once do not overwrite each
other; every move stays in the history, also after the alias is gone.
"""

import re

from django.conf import settings
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from models_app.core.clock import now
from models_app.core.errors import FieldError
from models_app.core.models import TeamQuerySet
from models_app.core.names import clean_slug

#: Names that mean something by themselves: see `naming.version_named`.
_RESERVED = re.compile(r"latest|main|head|v?[0-9]+|[0-9a-f]{40}|[0-9a-f]{64}")


class Alias(models.Model):
    """A name of one version of a model, now."""

    model = models.ForeignKey("registry.Model", on_delete=models.CASCADE, related_name="aliases")
    name = models.CharField(max_length=63)
    version = models.ForeignKey(
        "registry.ModelVersion", on_delete=models.PROTECT, related_name="aliases"
    )
    moved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    moved_at = models.DateTimeField(default=now)

    team_path = "model__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = gettext_lazy("alias")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["model", "name"], name="alias_once")]

    def __str__(self) -> str:
        return f"{self.model.name}@{self.name}"

    @property
    def team_id(self) -> int:
        return self.model.team_id


class AliasMove(models.Model):
    """One move of an alias. `old` is empty when it was made, `new` when it was deleted."""

    model = models.ForeignKey(
        "registry.Model", on_delete=models.CASCADE, related_name="alias_moves"
    )
    name = models.CharField(max_length=63)
    old = models.ForeignKey(
        "registry.ModelVersion", null=True, on_delete=models.PROTECT, related_name="+"
    )
    new = models.ForeignKey(
        "registry.ModelVersion", null=True, on_delete=models.PROTECT, related_name="+"
    )
    moved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    moved_at = models.DateTimeField(default=now)
    reason = models.CharField(max_length=200, blank=True)

    team_path = "model__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = gettext_lazy("move of an alias")
        ordering = ["-id"]
        indexes = [models.Index(fields=["model", "name", "-id"], name="alias_move_of")]

    def __str__(self) -> str:
        return f"{self.name}: {self.old} → {self.new}"


def clean_alias(name: str, field: str = "name") -> str:
    """A name that can be an alias, or FieldError."""
    name = clean_slug(name, field)
    if _RESERVED.fullmatch(name):
        said = _("%(name)s already means a version by itself. Use another name, such as champion.")
        raise FieldError(field, said % {"name": name})
    return name
