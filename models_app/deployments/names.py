"""Public names (`team/name`), of which a team gives each only once, whatever bears it.

What bears names beside deployments stands above them and registers here who has which.
"""

from collections.abc import Callable

from django.db import connection
from django.utils.translation import gettext as _

from models_app.core.errors import FieldError
from models_app.deployments.models import Deployment

#: Each says why a team's name is taken, or gives an empty text.
Taken = Callable[[int, str], str]
_bearers: list[Taken] = []


def bears_names(taken: Taken) -> Taken:
    """Register who else bears names."""
    _bearers.append(taken)
    return taken


def name_lock(team_id: int, name: str) -> None:
    """Inside a transaction: until its end nobody else takes this name.

    The lock is by name, for the tables that it keeps apart are several.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"name {team_id}/{name}"]
        )


def name_free(team_id: int, name: str) -> None:
    """Under the lock: FieldError where the name is taken."""
    if Deployment.objects.filter(team_id=team_id, name=name).exists():
        said = _("This team has a deployment %(name)r already.") % {"name": name}
        raise FieldError("name", said)
    for taken in _bearers:
        said = taken(team_id, name)
        if said:
            raise FieldError("name", said)
