"""The contract of a thing that can be put before approvers. Its app registers it at start-up.

Approvals know nothing of what is approved but its type, its id and a digest of its state.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from django.utils.translation import gettext_noop

from models_app.core.catalog import Catalog

if TYPE_CHECKING:
    from models_app.approvals.models import ApprovalRequest


@dataclass(frozen=True, kw_only=True)
class Change:
    """One setting: what it is now, what it becomes, and what that means."""

    name: str
    old: str
    new: str
    effect: str = ""

    @property
    def changed(self) -> bool:
        return self.old != self.new


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One figure of the new state beside the same figure of the old one."""

    name: str
    old: float | None
    new: float | None
    #: Whether a smaller figure is the better one.
    lower_is_better: bool = True

    @property
    def delta_percent(self) -> float | None:
        if self.old is None or self.new is None or self.old == 0:
            return None
        return (self.new - self.old) / abs(self.old) * 100

    @property
    def better(self) -> bool | None:
        delta = self.delta_percent
        if delta is None or abs(delta) < 0.05:
            return None
        return (delta < 0) == self.lower_is_better


@dataclass(frozen=True, kw_only=True)
class Link:
    """A page about the subject, by its URL name, so that the domain knows no addresses."""

    label: str
    url_name: str
    args: tuple[str | int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Description:
    """What the page of a request shows of its subject."""

    links: Sequence[Link] = ()
    old_label: str = ""
    new_label: str = ""
    changes: Sequence[Change] = ()
    evidence: Sequence[Evidence] = ()
    way_back: str = ""
    on_approve: str = ""
    on_reject: str = ""
    notes: Sequence[str] = field(default_factory=tuple)


class Subject:
    """Subclass this; register with `@subjects.register`."""

    name: ClassVar[str]

    def lock(self, subject_id: int) -> None:
        """Take the row lock under which the subject changes.

        It is always taken before the lock of the request, so that a vote and a roll-out that
        touch the same pair can never wait for each other.
        """

    def current_digest(self, subject_id: int) -> str:
        """The digest of the state that would go through now."""
        raise NotImplementedError

    def on_approved(self, request: "ApprovalRequest") -> None:
        """Enough people have agreed; runs in the transaction of the last vote."""

    def on_ended(self, request: "ApprovalRequest") -> None:
        """It was rejected, expired, withdrawn or has become stale; same transaction."""

    def describe(self, request: "ApprovalRequest") -> Description:
        """What changes, with evidence and the way back."""
        raise NotImplementedError


subjects: Catalog[Subject] = Catalog(gettext_noop("approval subject"))
