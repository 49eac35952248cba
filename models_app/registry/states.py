"""The states of a model version.

    pending ──training job succeeds──▶ ready ⇄ quarantined (by an admin, with a reason)
       └──────training job fails─────▶ failed

A version of a run elsewhere waits for its files: an import or a push makes it ready, one that fails
leaves it waiting. It fails with its run, or when somebody gives it up.

Only a ready version can be evaluated or deployed, and none is quarantined while it serves. The
files of a version never change.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class VersionState(models.TextChoices):
    PENDING = "pending", _("Training")
    READY = "ready", _("Ready")
    FAILED = "failed", _("Failed")
    QUARANTINED = "quarantined", _("Quarantined")


ALLOWED: dict[str, set[str]] = {
    VersionState.PENDING: {VersionState.READY, VersionState.FAILED},
    VersionState.READY: {VersionState.QUARANTINED},
    VersionState.QUARANTINED: {VersionState.READY},
    VersionState.FAILED: set(),
}


class Family(models.TextChoices):
    """The closed list of model families. An adapter's versions are small and need their base."""

    TRANSFORMER = "transformer", _("Transformer")
    ADAPTER = "adapter", _("Adapter (LoRA)")
    NGRAM = "ngram", _("N-gram")
    HMM = "hmm", _("Hidden Markov")


class Task(models.TextChoices):
    """What an evaluation asks of a model; each has figures of its own."""

    PERPLEXITY = "perplexity", _("Perplexity of text")
    MULTIPLE_CHOICE = "multiple_choice", _("Multiple choice")
    EXACT_MATCH = "exact_match", _("Exact answers")


class Stage(models.TextChoices):
    """How far a version has come on its way to those who use it."""

    NONE = "none", _("No stage")
    STAGING = "staging", _("Staging")
    PRODUCTION = "production", _("Production")
    ARCHIVED = "archived", _("Archived")


#: From where to where a version may be moved.
STAGES: dict[str, set[str]] = {
    Stage.NONE: {Stage.STAGING, Stage.ARCHIVED},
    Stage.STAGING: {Stage.PRODUCTION, Stage.ARCHIVED},
    Stage.PRODUCTION: {Stage.STAGING, Stage.ARCHIVED},
    Stage.ARCHIVED: {Stage.STAGING},
}


class MoveState(models.TextChoices):
    """What became of a move that was asked for."""

    WAITING = "waiting", _("Waiting for approval")
    DONE = "done", _("Done")
    ENDED = "ended", _("Not done")


MOVES: dict[str, set[str]] = {
    MoveState.WAITING: {MoveState.DONE, MoveState.ENDED},
    MoveState.DONE: set(),
    MoveState.ENDED: set(),
}
