"""The contract of what runs on a model version. Its app registers it at start-up.

The registry does not know what serves its versions: before it takes one away it asks here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.core.catalog import Catalog
from models_app.core.errors import FieldError
from models_app.registry.states import Family

if TYPE_CHECKING:
    from models_app.registry.models import ModelVersion


@dataclass(frozen=True, kw_only=True)
class Use:
    """One thing that runs on a version now, or is about to."""

    #: What it is, such as `deployment`, and which one.
    kind: str
    id: int
    name: str
    environment: str
    state: str
    #: For people: what it does with the version, and what it means to end that.
    doing: str
    ending: str
    #: It does without the version from the moment in which that is not ready any more.
    lets_go: bool = False

    def __str__(self) -> str:
        return f"{self.name} ({self.environment})"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, for programs."""
        names = ("kind", "id", "name", "environment", "state")
        return {name: getattr(self, name) for name in names}


class VersionUser:
    """Subclass this; register with `@version_users.register`.

    Whoever begins to use a version calls `version_hold` first and looks at its state afterwards.
    """

    name: ClassVar[str]

    def uses(self, version: "ModelVersion") -> Sequence[Use]:
        """What uses the version now."""
        raise NotImplementedError

    def version_ids(self, team_id: int) -> Iterable[int]:
        """Numbers of the versions of a team that something uses now."""
        raise NotImplementedError

    def end(self, *, actor: Actor, version: "ModelVersion", reason: str) -> Sequence[Use]:
        """End all of them, each with the rights of `actor`; returns what there was."""
        raise NotImplementedError


version_users: Catalog[VersionUser] = Catalog("user of versions")


def version_uses(version: "ModelVersion") -> list[Use]:
    """Everything that uses the version now."""
    return [use for user in version_users for use in user.uses(version)]


def version_uses_end(*, actor: Actor, version: "ModelVersion", reason: str) -> list[Use]:
    """End everything that uses the version; returns what it was."""
    ended = (user.end(actor=actor, version=version, reason=reason) for user in version_users)
    return [use for uses in ended for use in uses]


def version_hold(version: "ModelVersion") -> None:
    """Read the state of a version afresh and keep it as it is until the transaction ends.

    Always the last of the locks that one needs: a deployment's comes before.
    """
    rows = type(version).objects.select_for_update(no_key=True)
    version.refresh_from_db(fields=["state"], from_queryset=rows)


def version_whole(version: "ModelVersion", field: str) -> None:
    """FieldError for an adapter: it does nothing without its base."""
    if version.model.family == Family.ADAPTER:
        said = _("%(version)s is an adapter of %(base)s: merge it into a version first.")
        raise FieldError(field, said % {"version": version, "base": version.base_version or "–"})
