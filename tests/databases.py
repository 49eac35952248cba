"""The migrated database of each test process: made once for all that run side by side, and copied.

To migrate takes twelve seconds of a processor, to copy what came of it a tenth of one.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from django.core.management import call_command
from django.db import connection
from psycopg import sql


def template(folder: Path) -> str:
    """Name of a database to copy; whoever of the processes that share the folder comes first makes
    it, and the others wait."""
    name = f"{connection.creation._get_test_db_name()}_template"
    made = folder / "template"
    with (folder / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _create(name)
            with _named(name):
                call_command("migrate", verbosity=0)
            made.write_text(name)
    return made.read_text()


def _create(name: str) -> None:
    """Empty, whatever an earlier run has left."""
    parameters = connection.get_connection_params()
    keys = ("host", "port", "user", "password", "dbname")
    where = {key: parameters[key] for key in keys if key in parameters}
    with psycopg.connect(**where, autocommit=True) as server:
        quoted = sql.Identifier(name)
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(quoted))
        server.execute(sql.SQL("CREATE DATABASE {}").format(quoted))


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Django's connection leads to that database meanwhile."""
    before = connection.settings_dict["NAME"]
    _leave()
    connection.settings_dict["NAME"] = name
    try:
        yield
    finally:
        _leave()  # a database that somebody is connected to cannot be copied
        connection.settings_dict["NAME"] = before


def _leave() -> None:
    connection.close()
    connection.close_pool()
