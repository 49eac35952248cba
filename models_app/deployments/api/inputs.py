"""What the API of deployments accepts. `spec` is validated as a serving configuration."""

from typing import Any

from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict, Field

from models_app.approvals.selectors import environment_list
from models_app.configs.selectors import revision_get
from models_app.core.actor import Actor
from models_app.core.errors import FieldError, NotFound
from models_app.registry.models import ModelVersion


class Input(BaseModel):
    """Unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid")


class DeploymentInput(Input):
    """A new deployment."""

    team: str = Field(description="Name of the team")
    name: str
    environment: str = Field(description="See environments")
    description: str = ""


class DescriptionInput(Input):
    """What can be changed of a deployment itself."""

    description: str


CONFIG = Field(
    None,
    ge=1,
    le=1 << 62,
    description="A serving configuration's revision instead of `spec`; the overlay of the "
    "environment is applied",
)


class RevisionInput(Input):
    """A new revision; `spec` as in configs/schema/serving, the defaults if neither is given."""

    model_version: int
    spec: dict[str, Any] | None = None
    config_revision: int | None = CONFIG
    adapters: dict[str, int] | None = Field(
        None,
        max_length=1000,
        description="Versions of adapters by name; left out, those of the active revision stay if "
        "it serves the same version",
    )
    reason: str = ""


class AdapterInput(Input):
    """One adapter more, asked for as `team/deployment:name`."""

    name: str
    model_version: int
    reason: str = ""


class PlanInput(Input):
    """What a revision would be made of."""

    model_version: int
    spec: dict[str, Any] | None = None
    config_revision: int | None = CONFIG


class RollbackInput(Input):
    """`to` is the number of an earlier revision; without it the one that served before."""

    to: int | None = None
    reason: str = ""


class ForceInput(Input):
    """The revision whose different answers are let through, and why."""

    to: int = Field(ge=1, le=1 << 30)
    reason: str = ""


class RolloutInput(Input):
    """An approved or failed revision by its number."""

    revision: int


class ReasonInput(Input):
    """Why; kept in the audit log."""

    reason: str = ""


class ScaleInput(Input):
    """How many replicas from now on."""

    replicas: int
    reason: str = ""


def settings_of(actor: Actor, given: RevisionInput | PlanInput) -> dict[str, Any]:
    """`spec` or `config_revision`, as services take them; what is hidden counts as missing."""
    if given.config_revision is None:
        return {"spec": given.spec or {}, "config_revision": None}
    try:
        revision = revision_get(actor=actor, revision_id=given.config_revision)
    except NotFound as error:
        raise FieldError("config_revision", error.message) from None
    return {"spec": given.spec, "config_revision": revision}


def version_of(actor: Actor, pk: int) -> ModelVersion:
    """A version that the actor sees, or FieldError."""
    rows = ModelVersion.objects.visible_to(actor).select_related("model")
    row: ModelVersion | None = rows.filter(pk=pk).first() if 0 < pk < 1 << 62 else None
    if row is None:
        raise FieldError("model_version", _("There is no such version, or you may not see it."))
    return row


def adapters_of(actor: Actor, given: RevisionInput) -> dict[str, ModelVersion] | None:
    """Versions that the actor sees, or FieldError with the name."""
    if given.adapters is None:
        return None
    found = {}
    for name, pk in given.adapters.items():
        try:
            found[name] = version_of(actor, pk)
        except FieldError as error:
            raise FieldError(f"adapters.{name}", error.message) from None
    return found


def environment_of(name: str) -> Any:
    """An environment by name, or FieldError naming the ones there are."""
    row = environment_list().filter(name=name).first()
    if row is None:
        known = ", ".join(environment_list().values_list("name", flat=True))
        said = _("There is no such environment. Known: %(known)s.") % {"known": known}
        raise FieldError("environment", said)
    return row
