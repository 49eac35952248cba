"""Import contracts, migrations and the OpenAPI schema are in order."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

ROOT = Path(__file__).parents[2]
beside = pytest.mark.skipif(
    "CONTRACTS" in os.environ, reason="part of `make contracts` beside this"
)


@beside
@pytest.mark.slow
def test_the_import_contracts_are_kept():
    program = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@beside
@pytest.mark.django_db
def test_no_migration_is_missing():
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_the_schema_is_complete_and_without_warnings():
    GENERATOR_STATS.reset()
    with GENERATOR_STATS.silence():
        schema = SchemaGenerator().get_schema(request=None, public=True)
    found = {**GENERATOR_STATS._warn_cache, **GENERATOR_STATS._error_cache}
    assert not found
    validate_schema(schema)
    assert "/api/v1/auth/me" in schema["paths"]
