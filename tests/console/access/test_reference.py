"""docs/reference/permissions.md says what the code decides."""

import io
from pathlib import Path

from django.core.management import call_command

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "permissions.md"


def test_the_page_is_what_permissions_reference_prints():
    out = io.StringIO()
    call_command("permissions_reference", stdout=out)
    assert PAGE.read_text() == out.getvalue(), (
        "run: python manage.py permissions_reference > docs/reference/permissions.md"
    )
