"""`manage.py permissions_reference`: the page docs/reference/permissions.md, on stdout."""

from typing import Any

from django.core.management.base import BaseCommand

from console.access.reference import permissions_page


class Command(BaseCommand):
    help = "Prints the reference of roles, permissions and token scopes as Markdown."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> str:
        return permissions_page().rstrip("\n")
