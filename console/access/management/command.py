"""What the commands of access share: changes are marked as coming from the command line."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from console.access.models import Team, User
from models_app.core.context import RequestContext, current
from models_app.core.errors import SlipwayError


class AccessCommand(BaseCommand):
    """Runs `act(**options)`; anticipated errors become one line on stderr and exit status 1."""

    def handle(self, *args: Any, **options: Any) -> str | None:
        token = current.set(RequestContext(via="cli"))
        try:
            return self.act(**options)
        except SlipwayError as error:
            raise CommandError(error.message) from error
        finally:
            current.reset(token)

    def act(self, **options: Any) -> str | None:
        """The command itself; what it returns is printed on stdout."""
        raise NotImplementedError


def user_named(email: str) -> User:
    """The person with this address, or CommandError."""
    user = User.objects.filter(email=email.strip().lower()).first()
    if user is None:
        raise CommandError(
            f"There is nobody with the address {email}. See `manage.py user_create`."
        )
    return user


def team_named(slug: str) -> Team:
    """The team of this name, or CommandError that lists the known ones."""
    team = Team.objects.filter(slug=slug).first()
    if team is None:
        known = ", ".join(Team.objects.values_list("slug", flat=True)) or "none"
        raise CommandError(f"There is no team {slug!r}. Known: {known}.")
    return team
