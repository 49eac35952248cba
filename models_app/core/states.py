"""State machines: one function moves a row, by compare-and-swap against a written table."""

from collections.abc import Mapping, Set
from typing import Any

from django.db import models

from models_app.core.errors import WrongState

Transitions = Mapping[str, Set[str]]


def advance(row: models.Model, to: str, *, allowed: Transitions, **changes: Any) -> None:
    """Move `row.state` to `to` and apply `changes`, only if the row is still where we saw it.

    Raises WrongState when the table forbids the step or another process was faster.
    """
    old = str(row.state)  # type: ignore[attr-defined]
    if to not in allowed.get(old, frozenset()):
        raise WrongState(
            f"{row._meta.verbose_name} {row.pk} is {old}, so it cannot become {to}.",
            state=old,
            wanted=to,
        )
    manager = type(row)._base_manager
    hit = manager.filter(pk=row.pk, state=old).update(state=to, **changes)
    if not hit:
        raise WrongState(
            f"{row._meta.verbose_name} {row.pk} has just changed; look again before you go on.",
            state=old,
            wanted=to,
        )
    row.state = to  # type: ignore[attr-defined]
    computed = [name for name, value in changes.items() if hasattr(value, "resolve_expression")]
    if computed:
        row.refresh_from_db(fields=computed)
    for name, value in changes.items():
        if name not in computed:
            setattr(row, name, value)
