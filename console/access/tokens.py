"""The secret text of API tokens: how it is made, hashed and found again."""

import datetime as dt
import hashlib
import secrets
from collections.abc import Iterable

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from console.access.models import ApiToken
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
    """The usable token with this secret, or None."""
    token = _usable().filter(digest=token_digest(text)).first()
    if token and (token.last_used_at is None or now() - token.last_used_at > LAST_USED_EVERY):
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=Now())
    return token


def token_get(token_id: int) -> ApiToken | None:
    """The token, if it is still usable."""
    return _usable().filter(pk=token_id).first()


def _usable() -> QuerySet[ApiToken]:
    return (
        ApiToken.objects.select_related("user", "team")
        .filter(Q(expires_at=None) | Q(expires_at__gt=Now()))
        .filter(revoked_at=None, user__is_active=True)
    )


def tokens_mark_used(token_ids: Iterable[int]) -> None:
    """Note the use of many tokens at once; the gateway gathers them."""
    ApiToken.objects.filter(pk__in=list(token_ids)).update(last_used_at=Now())
