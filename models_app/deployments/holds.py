"""Revisions that have to stay loaded although no roll-out wants them any more.

What names a revision (a rule of a route) stands above deployments and registers here.
"""

from collections.abc import Callable

#: (id of a deployment, or None for all) -> ids of revisions that are named.
Holder = Callable[[int | None], set[int]]
_holders: list[Holder] = []


def holds_revisions(holder: Holder) -> Holder:
    """Register who names revisions."""
    _holders.append(holder)
    return holder


def held_revisions(deployment_id: int | None = None) -> set[int]:
    """Ids of revisions that are named somewhere: of one deployment, or of all."""
    return {pk for holder in _holders for pk in holder(deployment_id)}
