"""The record of calls that the gateway keeps: batches by COPY, microseconds a row."""

import operator
from collections.abc import Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection, transaction
from django.db.models import Model

from models_app.deployments.models import Deployment, Replica, RequestRecord, Revision

_COLUMNS = [f.attname for f in RequestRecord._meta.concrete_fields if not f.primary_key]
_values = operator.itemgetter(*_COLUMNS)


def request_records_store(rows: Sequence[dict[str, Any]]) -> int:
    """Store calls in bulk. Each row has every column of RequestRecord; returns the count.

    A reference to what is gone by now becomes NULL.
    """
    try:
        _copy(rows)
    except IntegrityError:
        _copy(_without_the_gone(rows))
    return len(rows)


def _copy(rows: Sequence[dict[str, Any]]) -> None:
    table = connection.ops.quote_name(RequestRecord._meta.db_table)
    statement = f"COPY {table} ({', '.join(_COLUMNS)}) FROM STDIN"
    with transaction.atomic():
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(_values(row))
        # References are deferred: without this a missing one would show only at the commit.
        connection.check_constraints()


def _without_the_gone(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    fresh = [dict(row) for row in rows]
    references: dict[str, type[Model]] = {
        "deployment_id": Deployment,
        "revision_id": Revision,
        "replica_id": Replica,
        "user_id": get_user_model(),
    }
    for column, model in references.items():
        asked = {row[column] for row in fresh if row[column] is not None}
        there = set(model._base_manager.filter(pk__in=asked).values_list("pk", flat=True))
        for row in fresh:
            if row[column] not in there:
                row[column] = None
    return fresh
