"""`manage.py user_create`: a person, perhaps with a role in a team."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from console.access.management.command import AccessCommand, team_named
from console.access.roles import Role
from console.access.services import membership_set, user_create
from models_app.core.actor import SYSTEM


class Command(AccessCommand):
    help = (
        "Makes a person. Without --password-stdin a one-time password is printed, which must be "
        "changed at the first sign-in."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--name", required=True)
        parser.add_argument("--admin", action="store_true", help="Platform admin")
        parser.add_argument("--team", metavar="SLUG")
        parser.add_argument("--role", choices=Role.values, help="Role in the team (viewer)")
        parser.add_argument(
            "--password-stdin", action="store_true", help="Read the password from stdin"
        )

    def act(self, **options: Any) -> str:
        if options["role"] and not options["team"]:
            raise CommandError("--role needs --team.")
        team = team_named(options["team"]) if options["team"] else None
        password = sys.stdin.readline().rstrip("\r\n") if options["password_stdin"] else None
        with transaction.atomic():
            user, secret = user_create(
                actor=SYSTEM,
                email=options["email"],
                name=options["name"],
                is_admin=options["admin"],
                password=password,
            )
            if team is not None:
                role = options["role"] or Role.VIEWER
                membership_set(actor=SYSTEM, team=team, user=user, role=role)
        return f"{user.email}\n{secret}" if secret else user.email
