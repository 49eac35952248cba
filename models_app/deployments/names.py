"""Public names (`team/name`), of which a team gives each only once, whatever bears it.

What bears names beside deployments stands above them and registers here who has which.
"""

from collections.abc import Callable

from django.db import connection

from models_app.core.errors import FieldError

#: Each says why a team's name is taken, or gives an empty text.
Taken = Callable[[int, str], str]
_bearers: list[Taken] = []


def bears_names(taken: Taken) -> Taken:
    """Register who else bears names."""
    _bearers.append(taken)
    return taken


def name_claim(team_id: int, name: str) -> None:
    """Inside a transaction: FieldError where the name is taken, and until the end nobody takes it.

    The lock is by name, for the tables that it keeps apart are two.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"name {team_id}/{name}"]
        )
    for taken in _bearers:
        said = taken(team_id, name)
        if said:
            raise FieldError("name", said)
