"""`manage.py store …`: looks at the store of files, collects garbage, checks files, moves them."""

import time
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from models_app.core.actor import SYSTEM
from models_app.core.context import RequestContext, current
from models_app.core.errors import SlipwayError
from models_app.storage import selectors
from models_app.storage.inventory import inventory_refresh
from models_app.storage.models import StoreRun
from models_app.storage.moving import Moved, move_to_bucket, move_to_disk
from models_app.storage.runs import OPEN, run_advance
from models_app.storage.services import store_collect, store_verify

SAY_EVERY_S = 2.0
MIB = 1 << 20


class Command(BaseCommand):
    help = "Looks at the store of files, collects garbage, checks files, moves them."
    #: `move` mends what the check of the store complains about.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        doing = parser.add_subparsers(dest="doing", required=True)
        doing.add_parser("status", help="What lies there, who holds it, what is garbage")
        collect = doing.add_parser("collect", help="Remove what nobody has named for a day")
        collect.add_argument("--preview", action="store_true", help="Only say what would go")
        collect.add_argument("--grace-hours", type=float, help="Other than 24 hours")
        verify = doing.add_parser("verify", help="Read files and compare their digests")
        verify.add_argument("--sample", type=int, help="Only so many, of the longest ago")
        move = doing.add_parser("move", help="Bring the files of this disk into the bucket")
        move.add_argument("--back", action="store_true", help="From the bucket to this disk")

    def handle(self, *args: Any, **options: Any) -> None:
        token = current.set(RequestContext(via="cli"))
        doing: Callable[[dict[str, Any]], None] = getattr(self, f"_{options['doing']}")
        try:
            doing(options)
        except SlipwayError as error:
            raise CommandError(error.message) from error
        finally:
            current.reset(token)

    def _status(self, options: dict[str, Any]) -> None:
        report = inventory_refresh()
        if report is None:
            raise CommandError("This node does not see the store. Ask on the console's machine.")
        checked = selectors.checked(actor=SYSTEM)
        due = selectors.garbage_due(actor=SYSTEM)
        free = "" if report.free_bytes is None else f", {_size(report.free_bytes)} free"
        self._say(f"store     {report.place} ({report.home}{free})")
        self._say(f"stored    {report.files} files, {_size(report.bytes)}")
        self._say(f"shared    {_size(report.logical_bytes)} without sharing")
        self._say(
            f"garbage   {report.garbage_files} files, {_size(report.garbage_bytes)}; "
            f"{due['files']} may go now, {_size(due['bytes'])}"
        )
        self._say(f"leftovers {report.leftover_files}, {_size(report.leftover_bytes)}")
        self._say(f"checked   {checked['files']} of {checked['files_total']} files")
        self._say(f"damaged   {checked['damaged']}, missing {len(report.missing)}")

    def _collect(self, options: dict[str, Any]) -> None:
        if options["preview"]:
            inventory_refresh()
            rows = selectors.file_list(actor=SYSTEM, of="garbage").order_by("unnamed_since")
            for one in selectors.garbage_of(rows):
                by = one.last_named_by[0] if one.last_named_by else "nobody, ever"
                when = "now" if one.is_due else f"{one.grace_ends:%Y-%m-%d %H:%M}"
                self._say(f"{one.file.sha256} {_size(one.file.size):>12} {when}  last: {by}")
            return
        run = self._through(store_collect(actor=SYSTEM, grace_hours=options["grace_hours"]))
        self._say(f"{run.files} files went, {_size(run.bytes)}; {run.leftovers} leftovers.")

    def _verify(self, options: dict[str, Any]) -> None:
        run = self._through(store_verify(actor=SYSTEM, sample=options["sample"]))
        self._say(f"{run.files} files read, {_size(run.bytes)}; {len(run.damaged)} damaged.")
        for finding in run.damaged:
            held = ", ".join(finding["holders"]) or "nobody"
            self._say(f"damaged: {finding['file']}, needed by {held}")
        if run.damaged:
            raise CommandError("Damaged files were set aside. Store them again from a good copy.")

    def _move(self, options: dict[str, Any]) -> None:
        move = move_to_disk if options["back"] else move_to_bucket
        done = move(say=self._now_and_then())
        self._say(f"{done.files} files, {_size(done.bytes)}.")
        if options["back"]:
            self._say("Now take SLIPWAY_BLOB_URL away and start Slipway.")
        if done.damaged:
            raise CommandError(f"Damaged and left out: {', '.join(done.damaged)}")

    def _through(self, run: StoreRun) -> StoreRun:
        """Work on it to its end; if a worker has taken it, wait for that."""
        while run.state in OPEN:
            if run_advance(run.pk, seconds=SAY_EVERY_S) is None:
                time.sleep(1)
            run.refresh_from_db()
            if run.files_total:
                self._say(f"{run.files} of {run.files_total} files, {_size(run.bytes)}")
        if run.error:
            raise CommandError(run.error)
        return run

    def _now_and_then(self) -> Callable[[Moved], None]:
        said = time.monotonic()

        def say(done: Moved) -> None:
            nonlocal said
            if time.monotonic() - said > SAY_EVERY_S:
                said = time.monotonic()
                self._say(f"{done.files} files, {_size(done.bytes)}")

        return say

    def _say(self, text: str) -> None:
        self.stdout.write(text)


def _size(number: int) -> str:
    return f"{number / MIB:,.1f} MiB"
