"""How far a version has come: none → staging → production → archived, and the moves between them.

    none ──▶ staging ⇄ production
      └──────▶ archived ◀──┘    (archived ──▶ staging, staging ──▶ archived)

A move is asked for and done at once, unless policy wants approvals first. Whose policy that is the
registry does not know: see StageGate.
"""

from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from models_app.core.actor import Actor
from models_app.core.catalog import Catalog
from models_app.core.clock import now
from models_app.core.digests import digest_json
from models_app.core.models import TeamQuerySet
from models_app.registry.states import STAGES, MoveState, Stage

if TYPE_CHECKING:
    from models_app.registry.models import ModelVersion

__all__ = ["STAGES", "MoveState", "Stage", "StageGate", "StageMove", "stage_gates"]


class StageMove(models.Model):
    """One move of a version from a stage to another: asked for, and what became of it."""

    version = models.ForeignKey(
        "registry.ModelVersion", on_delete=models.CASCADE, related_name="stage_moves"
    )
    old = models.CharField(max_length=16, choices=Stage.choices)
    new = models.CharField(max_length=16, choices=Stage.choices)
    state = models.CharField(max_length=16, choices=MoveState.choices, default=MoveState.WAITING)
    reason = models.CharField(max_length=200)
    #: Why it was not done, where it was not.
    error = models.CharField(max_length=300, blank=True)
    #: Number of the request that decides it, where policy wanted one.
    approval = models.BigIntegerField(null=True)
    moved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=now, editable=False)
    ended_at = models.DateTimeField(null=True)

    team_path = "version__model__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = _("move to a stage")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=MoveState.values), name="stage_move_state_known"
            ),
            models.UniqueConstraint(
                fields=["version"],
                condition=Q(state=MoveState.WAITING),
                name="stage_move_waiting_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version}: {self.old} → {self.new}"

    @property
    def team_id(self) -> int:
        return self.version.team_id

    @property
    def digest(self) -> str:
        """What exactly is asked for: these files, ready, from this stage to that one."""
        version = self.version
        return digest_json(
            {
                "version": version.pk,
                "digest": version.digest,
                "state": str(version.state),
                "from": str(version.stage),
                "to": str(self.new),
            }
        )


class StageGate:
    """The contract of whoever decides whether a move may go through; an app above registers it."""

    name: ClassVar[str]

    def ask(self, *, actor: Actor, move: StageMove) -> int | None:
        """Put the move before people; the number of the request. None: nobody has to agree."""
        raise NotImplementedError

    def drop(self, *, actor: Actor, move: StageMove) -> None:
        """The move is taken back: nobody needs to decide it any more."""
        raise NotImplementedError

    def needs(self, *, version: "ModelVersion", to: str) -> int:
        """How many people have to agree before a version may go there; 0: nobody."""
        raise NotImplementedError


stage_gates: Catalog[StageGate] = Catalog("gate of stages")
