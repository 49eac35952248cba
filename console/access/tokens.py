"""The secret text of API tokens: how it is made, hashed and found again."""

import datetime as dt
import hashlib
import secrets
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from django.db import connection, models
from django.db.models.functions import Now

from console.access.models import ApiToken, User
from models_app.core.clock import now

PREFIX = "slip_"
#: Last use is written at most this often, so that reading does not mean writing.
LAST_USED_EVERY = dt.timedelta(minutes=1)


def token_secret() -> tuple[str, str, str]:
    """A new secret with 256 random bits: (text shown once, prefix to recognise it, digest kept)."""
    text = PREFIX + secrets.token_urlsafe(32)
    return text, text[:12], token_digest(text)


def token_digest(text: str) -> str:
    """sha256 is right here: the secret is random, so there is nothing to guess slowly."""
    return hashlib.sha256(text.encode()).hexdigest()


def token_find(text: str) -> ApiToken | None:
    """The usable token with this secret, or None; its user knows their roles already."""
    token = _one("digest", token_digest(text))
    if token and (token.last_used_at is None or now() - token.last_used_at > LAST_USED_EVERY):
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=Now())
    return token


def token_get(token_id: int) -> ApiToken | None:
    """The token, if it is still usable; this is no use of it."""
    return _one("id", token_id)


def _one(column: str, value: str | int) -> ApiToken | None:
    with connection.cursor() as cursor:
        cursor.execute(_statement(column), [value])
        row = cursor.fetchone()
    return _token(row) if row else None


@cache
def _statement(column: str) -> str:
    """Token, user and roles in one query: every call of the API begins with it, and building a
    query by the ORM costs several times what asking it does.
    """
    columns = [f't."{name}"' for name in _columns(ApiToken)]
    columns += [f'u."{name}"' for name in _columns(User)]
    return f"""
        SELECT {", ".join(columns)},
               ARRAY(SELECT m.team_id::text FROM access_membership m
                      WHERE m.user_id = u.id ORDER BY m.id),
               ARRAY(SELECT m.role FROM access_membership m WHERE m.user_id = u.id ORDER BY m.id)
          FROM access_apitoken t JOIN access_user u ON u.id = t.user_id
         WHERE t.{column} = %s AND t.revoked_at IS NULL AND u.is_active
           AND (t.expires_at IS NULL OR t.expires_at > statement_timestamp())"""


def _columns(model: type[models.Model]) -> list[str]:
    return [str(field.column) for field in model._meta.concrete_fields]


def _token(row: Sequence[Any]) -> ApiToken:
    *values, teams, roles = row
    fields = ApiToken._meta.concrete_fields
    names = [field.attname for field in fields]
    token = ApiToken.from_db(connection.alias, names, values[: len(fields)])
    names = [field.attname for field in User._meta.concrete_fields]
    token.user = User.from_db(connection.alias, names, values[len(fields) :])
    token.user.roles_known(zip(map(int, teams), roles, strict=True))
    return token


def tokens_mark_used(token_ids: Iterable[int]) -> None:
    """Note the use of many tokens at once; the gateway gathers them."""
    ApiToken.objects.filter(pk__in=list(token_ids)).update(last_used_at=Now())
