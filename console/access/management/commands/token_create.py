"""`manage.py token_create`: an API token for a script; prints the secret and nothing else."""

from argparse import ArgumentParser
from typing import Any

from console.access.management.command import AccessCommand, team_named, user_named
from console.access.services import token_create


class Command(AccessCommand):
    help = "Makes an API token for a person and prints its secret, once, on stdout."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", required=True, metavar="EMAIL", help="Whose token")
        parser.add_argument(
            "--scope", action="append", required=True,
            help="read, infer, write, deploy, approve or admin; repeat or separate by commas",
        )  # fmt: skip
        parser.add_argument("--name", required=True, help="What it is for")
        parser.add_argument("--team", metavar="SLUG", help="Bind it to one team")
        parser.add_argument("--days", type=int, help="Days until it expires (1 to 365)")

    def act(self, **options: Any) -> str:
        words = [word.strip() for text in options["scope"] for word in text.split(",")]
        _, secret = token_create(
            actor=user_named(options["user"]),
            name=options["name"],
            scopes=[word for word in words if word],
            team=team_named(options["team"]) if options["team"] else None,
            expires_in_days=options["days"],
        )
        return secret
