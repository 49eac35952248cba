"""Reads an installation's database from outside, without the product's own code."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.rows import dict_row

Row = dict[str, Any]


class Truth:
    """One connection, opened again whenever a fault has broken it."""

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url
        self._connection: psycopg.Connection[Row] | None = None

    def rows(self, query: str, *values: Any, patience_s: float = 60) -> list[Row]:
        """All rows; waits for a database that is away."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                return self._open().execute(query, values).fetchall()
            except (psycopg.OperationalError, OSError, KeyError, FileNotFoundError):
                self.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def one(self, query: str, *values: Any, patience_s: float = 60) -> Row | None:
        found = self.rows(query, *values, patience_s=patience_s)
        return found[0] if found else None

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
        self._connection = None

    def _open(self) -> "psycopg.Connection[Row]":
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._url(), autocommit=True, row_factory=dict_row, connect_timeout=3,
                application_name="chaos",
            )  # fmt: skip
        return self._connection
