"""Nothing that others start by name is without a test."""

from pathlib import Path

import pytest
from django.core.management import get_commands

from models_app.jobs.kind import job_kinds

ROOT = Path(__file__).parents[2]
OURS = ("console", "models_app", "workers")


def commands() -> list[str]:
    return sorted(name for name, app in get_commands().items() if str(app).startswith(OURS))


@pytest.mark.parametrize("kind", sorted(kind.name for kind in job_kinds))
def test_every_job_kind_has_a_test_file(kind):
    assert (ROOT / "tests" / "workers" / "jobs" / f"test_{kind}.py").exists()


@pytest.mark.parametrize("command", commands())
def test_every_command_is_called_by_a_test(command):
    here = Path(__file__)
    texts = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path != here)
    assert any(f'"{command}"' in text for text in texts)
