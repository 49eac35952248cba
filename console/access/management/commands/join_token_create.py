"""`manage.py join_token_create`: lets one machine join; prints the command to give there."""

import datetime as dt
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from console.access.management.command import AccessCommand
from models_app.core.actor import SYSTEM
from models_app.pools.joining import join_token_create
from models_app.pools.joining_api import join_command


class Command(AccessCommand):
    help = "Makes a token with which one machine can join, and prints it, once, with the command."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--note", default="", help="Which machine it is for")
        parser.add_argument(
            "--label", action="append", default=[], metavar="KEY=VALUE",
            help="A label that the node gets; repeat for more",
        )  # fmt: skip
        parser.add_argument("--hours", type=float, default=24, help="Hours until it expires")

    def act(self, **options: Any) -> str:
        pairs = [text.partition("=") for text in options["label"]]
        if wrong := [key for key, sign, value in pairs if not (sign and value)]:
            raise CommandError(f"--label {wrong[0]}: write it as KEY=VALUE")
        _, text = join_token_create(
            actor=SYSTEM,
            note=options["note"],
            labels={key: value for key, _, value in pairs},
            ttl=dt.timedelta(hours=options["hours"]),
        )
        return f"{text}\n\nIn a checkout on the new machine, once:\n\n    {join_command(text)}\n"
