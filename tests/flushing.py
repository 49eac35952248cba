"""Empties the database after a test that has committed, cheaply and whatever still looks at it.

Django's way truncates all tables of the product at once. That locks every one of them against
readers, so a process that a test has just ended, whose last statement the server still carries
out, holds it up past the `lock_timeout` of our settings or meets it in a deadlock; and it makes
each table and index anew, full or not.
Here rows are deleted, where there are any: readers are no obstacle, and a writer that stays is
cut off.
"""

import warnings

from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction

#: Tables that the migrations fill for Django itself and that no test writes to.
KEPT = {"django_migrations", "django_content_type", "auth_permission"}
#: The first tries wait for statements that are being carried out; then their sessions are ended.
LOCK_TIMEOUT_MS = 4000
TRIES = 4


def flush() -> None:
    """No row is left; raises what the last try met."""
    for left in reversed(range(TRIES)):
        try:
            _delete()
            return
        except (OperationalError, IntegrityError) as error:
            if not left:
                raise
            held = _others(end=left < TRIES - 1)
            warnings.warn(f"the flush met others ({str(error).strip()}): {held}", stacklevel=2)


def _delete() -> None:
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
        for table, guarded in _filled(cursor):
            if guarded:
                cursor.execute(f'TRUNCATE "{table}" CASCADE')
            else:
                cursor.execute(f'DELETE FROM "{table}"')


def _filled(cursor) -> list[tuple[str, bool]]:
    """Tables with rows in them, by one question, and whether a trigger guards these."""
    tables = set(connection.introspection.django_table_names(include_views=False)) - KEPT
    parts = (
        f"""SELECT '{table}', EXISTS (SELECT FROM pg_trigger WHERE NOT tgisinternal
        AND tgrelid = '"{table}"'::regclass) WHERE EXISTS (SELECT FROM "{table}")"""
        for table in sorted(tables)
    )
    cursor.execute(" UNION ALL ".join(parts))
    return cursor.fetchall()


def _others(*, end: bool) -> list[tuple]:
    """Sessions of others that are in the middle of something; with `end` they are cut off."""
    what = ", pg_terminate_backend(pid)" if end else ""
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT pid, application_name, state, left(query, 300) {what}"
                " FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
                " AND state <> 'idle'"
            )
            return cursor.fetchall()
    except DatabaseError as error:
        connection.close()  # it was ours that broke: the next try has a new one
        return [(str(error),)]
