"""Who may listen: always asked of the database, never of what was true when the page opened."""

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, get_user_model
from django.contrib.sessions.backends.base import SessionBase
from django.utils.crypto import constant_time_compare

from models_app.events.topics import may_subscribe


def _active(user_pk: Any) -> Any:
    return get_user_model()._default_manager.filter(pk=user_pk, is_active=True).first()


def may_listen(user_pk: Any, topic: str) -> bool:
    """Whether the person is still active and may hear of the topic now."""
    user = _active(user_pk)
    return user is not None and may_subscribe(user, topic)


def session_alive(user_pk: Any, session_key: str | None) -> bool:
    """Whether the session still exists and still fits the person's password."""
    user = _active(user_pk)
    if user is None or not session_key:
        return False
    session: SessionBase = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    stored = session.get(HASH_SESSION_KEY, "")
    return bool(stored) and constant_time_compare(stored, user.get_session_auth_hash())
