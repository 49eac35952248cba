"""Who names a stored file. Nobody keeps a list: it is looked for in the whole database.

A file is named by a row in which its digest stands: in any JSON column, or in a text column that is
called after a digest. So a new kind of thing that keeps files needs no line here, and what is
forgotten costs space, never data. A row *holds* what its columns `manifest`, `source` and
`…sha256` name; elsewhere digests are only mentioned (in the result of a job, say): that keeps a
file, too, but counts for nobody's share.

A model with `names_files = False` is left out: pictures of the store must not keep what they show.
"""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import connection, models
from django.db.models import Model

HOLDING = ("manifest", "source")
FIND = """
INSERT INTO naming (sha256, kind, object_id, holds, times)
SELECT found[1], %s, {pk}, %s, count(*)
  FROM {table}, regexp_matches({text}, '[0-9a-f]{{64}}', 'g') found
 GROUP BY 1, 3
"""


def naming_fill() -> None:
    """A temporary table `naming` of every digest that any row names, as it is now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE naming (sha256 text, kind text, object_id bigint, "
            "holds boolean, times bigint) ON COMMIT DROP"
        )
        for model in naming_models():
            for holds in (True, False):
                columns = [f.column for f in naming_columns(model) if _holds(f) == holds]
                if columns:
                    sql = FIND.format(**_words(model, columns))
                    cursor.execute(sql, [model._meta.label_lower, holds])
        cursor.execute("CREATE INDEX ON naming (sha256)")
        cursor.execute("ANALYZE naming")


def naming_models() -> Iterator[type[Model]]:
    """Models whose rows can name files."""
    for model in apps.get_models(include_auto_created=True):
        looked_at = model._meta.managed and getattr(model, "names_files", True)
        if looked_at and naming_columns(model):
            yield model


def naming_columns(model: type[Model]) -> list[Any]:
    """Columns in which a digest can stand."""
    return [field for field in model._meta.concrete_fields if may_name(field)]


def may_name(field: Any) -> bool:
    """Whether a digest in this column keeps a file."""
    if isinstance(field, models.JSONField):
        return True
    text = isinstance(field, models.CharField | models.TextField)
    return text and field.name.endswith(("sha256", "digest"))


def references_of(sha256: str) -> list[Model]:
    """The rows that name one file now. Reads whole tables: for a file that somebody asks about."""
    found: list[Model] = []
    for model in naming_models():
        if not _numbered(model):
            continue
        words = _words(model, [field.column for field in naming_columns(model)])
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {words['pk']} FROM {words['table']} WHERE position(%s in {words['text']})"
                " > 0 LIMIT 1000",
                [sha256],
            )
            numbers = [row[0] for row in cursor.fetchall()]
        found += model._base_manager.filter(pk__in=numbers)
    return found


def _holds(field: Any) -> bool:
    return field.name in HOLDING or field.name.endswith("sha256")


def _numbered(model: type[Model]) -> bool:
    return isinstance(model._meta.pk, models.IntegerField)


def _words(model: type[Model], columns: list[Any]) -> dict[str, str]:
    quote = connection.ops.quote_name
    texts = [f"coalesce({quote(str(column))}::text, '')" for column in columns]
    key = quote(str(model._meta.pk.column)) if _numbered(model) and model._meta.pk else "0::bigint"
    return {
        "table": quote(model._meta.db_table),
        "pk": key,
        "text": " || ' ' || ".join(texts),
    }
