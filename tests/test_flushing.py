"""A test that has committed leaves nothing, even where another session holds on to it."""

import psycopg
import pytest
from django.contrib.auth.models import Permission
from django.db import connection

from console.access.models import Team
from models_app.audit.models import AuditEvent
from models_app.core.actor import SYSTEM
from models_app.pools.joining import join_token_create
from tests import flushing
from tests.factories.access import TeamFactory

pytestmark = pytest.mark.django_db(transaction=True)


def other_session() -> psycopg.Connection:
    known = connection.get_connection_params()
    return psycopg.connect(**{k: known[k] for k in ("host", "port", "user", "password", "dbname")})


def test_what_was_committed_is_gone_and_what_django_needs_is_there():
    TeamFactory()
    join_token_create(actor=SYSTEM)
    assert AuditEvent.objects.exists()

    flushing.flush()

    assert not Team.objects.exists()
    assert not AuditEvent.objects.exists()
    assert Permission.objects.exists()


def test_a_reader_that_has_not_ended_is_no_obstacle():
    TeamFactory()
    with other_session() as other:
        assert other.execute("SELECT count(*) FROM access_team").fetchone() == (1,)

        flushing.flush()

    assert not Team.objects.exists()


def test_a_writer_that_does_not_end_is_cut_off(monkeypatch):
    monkeypatch.setattr(flushing, "LOCK_TIMEOUT_MS", 100)
    TeamFactory()
    other = other_session()
    other.execute("UPDATE access_team SET title = 'mine'")

    with pytest.warns(UserWarning, match="mine"):
        flushing.flush()

    assert not Team.objects.exists()
    with pytest.raises(psycopg.OperationalError):
        other.commit()
