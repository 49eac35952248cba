"""`manage.py demo`: runs the whole loop against a running console and tells where to look."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from console.demo.client import ApiError
from console.demo.people import cast
from console.demo.scenario import DemoFailed, Scenario
from models_app.core.errors import SlipwayError


class Command(BaseCommand):
    help = "Trains, evaluates, approves, deploys and asks a small model, on a running console."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--base-url", default="http://127.0.0.1:8000", help="Where it listens")
        parser.add_argument("--steps", type=int, help="Training steps, instead of the usual ones")

    def handle(self, *args: Any, **options: Any) -> None:
        team, builder, approver = cast()
        scenario = Scenario(
            team=team.slug, builder=builder, approver=approver, base_url=options["base_url"]
        )
        if options["steps"]:
            scenario.config["steps"] = options["steps"]
        try:
            facts = scenario.run()
        except (DemoFailed, ApiError, SlipwayError) as error:
            raise CommandError(f"The demonstration failed: {error}") from error
        self._summary(facts, scenario)

    def _summary(self, facts: dict[str, Any], scenario: Scenario) -> None:
        url = scenario.base_url
        rows = [
            ("data", facts["dataset"], facts["dataset_url"]),
            ("version", facts["version"], facts["version_url"]),
            ("learned", facts["loss"], ""),
            ("evaluation", facts["evaluation"], ""),
            ("approval", facts.get("approval", "given before"), facts.get("approval_url", "")),
            ("deployment", facts["deployment"], facts["deployment_url"]),
            ("answer", facts["answer"], "/playground/"),
        ]
        self.stdout.write("\n" + self.style.SUCCESS("The demonstration ran through."))
        for name, text, path in rows:
            self.stdout.write(f"  {name:<11}{text}" + (f"\n{'':13}{url}{path}" if path else ""))
        self.stdout.write("\nSign in and look around:")
        for person in (scenario.builder, scenario.approver):
            self.stdout.write(f"  {person.user.email:<20}{person.password}")
