"""Folders and ports for launchers; none of these tests touches Django's database."""

import shutil
import tempfile
from pathlib import Path

import psycopg
import pytest
import redis

from launcher import ports

from .running import child_pids, stack_of


@pytest.fixture
def data_dir():
    """Short-lived, with a space in its name."""
    base = Path(tempfile.mkdtemp(prefix="slipway launcher "))
    base.chmod(0o755)
    yield base / "data"
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def port():
    return ports.choose()


@pytest.fixture
def database():
    """Runs SQL on the stack of a folder."""

    def run(folder, sql, retries=0):
        while True:
            try:
                with psycopg.connect(stack_of(folder)["DATABASE_URL"], autocommit=True) as link:
                    cursor = link.execute(sql)
                    return cursor.fetchall() if cursor.description else None
            except psycopg.OperationalError:
                if not retries:
                    raise
                retries -= 1

    return run


@pytest.fixture
def broker():
    return lambda folder: redis.Redis.from_url(stack_of(folder)["REDIS_URL"] + "/0")


@pytest.fixture
def pids():
    return child_pids
