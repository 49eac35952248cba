"""Who acts: a user (perhaps through an API token), or the system itself."""

from typing import Any, Protocol


class Actor(Protocol):
    """What a service asks of the one who calls it. `console.access.User` and SYSTEM satisfy it."""

    pk: Any

    @property
    def label(self) -> str:
        """How the audit log names this actor."""

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Whether role and token scope allow `app.verb_noun` on `obj` (anything with `team_id`)."""

    def visible_team_ids(self) -> list[int] | None:
        """Teams whose things may be seen; None means all."""


class SystemActor:
    """Slipway itself: sweeper, runner, reconcilers. May do everything; appears in the audit log."""

    pk = None
    label = "slipway"

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return True

    def visible_team_ids(self) -> list[int] | None:
        return None


SYSTEM = SystemActor()
