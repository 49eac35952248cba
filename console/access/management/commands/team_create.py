"""`manage.py team_create`: a team without members."""

from argparse import ArgumentParser
from typing import Any

from console.access.management.command import AccessCommand
from console.access.services import team_create
from models_app.core.actor import SYSTEM


class Command(AccessCommand):
    help = "Makes a team. Put people into it with `manage.py user_create --team` or in the console."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="Its name in addresses, such as research")
        parser.add_argument("--title", default="", help="What it is called")

    def act(self, **options: Any) -> str:
        return team_create(actor=SYSTEM, slug=options["slug"], title=options["title"]).slug
