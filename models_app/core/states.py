"""State machines: one function moves a row, by compare-and-swap against a written table."""

from collections.abc import Mapping, Set
from typing import Any

from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import override

from models_app.core.errors import WrongState

Transitions = Mapping[str, Set[str]]


def advance(row: models.Model, to: str, *, allowed: Transitions, **changes: Any) -> None:
    """Move `row.state` to `to` and apply `changes`, only if the row is still where we saw it.

    Raises WrongState when the table forbids the step or another process was faster.
    """
    old = str(row.state)  # type: ignore[attr-defined]
    if to not in allowed.get(old, frozenset()):
        said = _("%(noun)s %(id)s is %(old)s, so it cannot become %(new)s.") % {
            **_named(row), "old": state_word(row, old), "new": state_word(row, to)
        }  # fmt: skip
        raise WrongState(said, state=old, wanted=to)
    manager = type(row)._base_manager
    hit = manager.filter(pk=row.pk, state=old).update(state=to, **changes)
    if not hit:
        said = _("%(noun)s %(id)s has just changed; look again before you go on.") % _named(row)
        raise WrongState(said, state=old, wanted=to)
    row.state = to  # type: ignore[attr-defined]
    computed = [name for name, value in changes.items() if hasattr(value, "resolve_expression")]
    if computed:
        row.refresh_from_db(fields=computed)
    for name, value in changes.items():
        if name not in computed:
            setattr(row, name, value)


def state_word(row: models.Model, state: str) -> str:
    """A state in a sentence: its name, as programs know it, or its word in another language."""
    field: Any = row._meta.get_field("state")
    label = dict(field.flatchoices).get(state, state)
    with override(None):
        source = str(label)
    return state if str(label) == source else str(label)


def _named(row: models.Model) -> dict[str, Any]:
    return {"noun": _(str(row._meta.verbose_name)), "id": row.pk}
