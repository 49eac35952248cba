"""What a bundle says of the version that came in it. A claim of another console, and kept as one:
nothing in it is a fact, a measurement or a permission of this one."""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from models_app.core.models import TeamQuerySet


class VersionOrigin(models.Model):
    """Where a version came from in a bundle, and the record that it brought."""

    version = models.OneToOneField(
        "registry.ModelVersion", on_delete=models.PROTECT, related_name="origin"
    )
    #: How the console that wrote the bundle called it.
    model = models.CharField(max_length=63)
    number = models.PositiveIntegerField()
    #: Consoles that had it, the first one first: model, number, evaluations.
    hops = models.JSONField(default=list)
    #: By the console that made it, word for word: record, figures, words of the card.
    record = models.JSONField(default=dict)
    evaluations = models.JSONField(default=list)
    card = models.JSONField(null=True)
    #: Name, number and tree digest of the base of an adapter.
    base = models.JSONField(null=True)

    team_path = "version__model__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("origin of a version")

    def __str__(self) -> str:
        return f"{self.model} v{self.number}"

    @property
    def team_id(self) -> int:
        return self.version.model.team_id

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, marked as a claim."""
        return {
            "claim": True,
            "model": self.model,
            "number": self.number,
            "digest": self.version.digest,
            "hops": self.hops,
            "record": self.record,
            "evaluations": self.evaluations,
            "card": self.card,
            "base": self.base,
        }
