"""The audit log: append-only, honest about origin, narrowed to what one sees."""

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import translation

from models_app.audit.models import AuditEvent
from models_app.audit.selectors import event_list
from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM
from models_app.core.context import RequestContext, current
from tests.factories.access import ApiTokenFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "sql",
    ["UPDATE audit_auditevent SET action = 'x'", "DELETE FROM audit_auditevent"],
)
def test_the_database_refuses_changes(ana, team, sql):
    audit_record(actor=ana, action="team.renamed", obj=team)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        connection.cursor().execute(sql)
    assert AuditEvent.objects.get().action == "team.renamed"


def test_the_orm_is_refused_as_well(ana, team):
    event = audit_record(actor=ana, action="team.renamed", obj=team)
    for change in (
        event.delete,
        AuditEvent.objects.all().delete,
        lambda: AuditEvent.objects.update(action="x"),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()
    assert AuditEvent.objects.count() == 1


def test_origin_is_kept(ana, team):
    ana.auth_token = ApiTokenFactory(user=ana)
    token = current.set(RequestContext(request_id="req_1", ip="10.0.0.1", via="api"))
    try:
        event = audit_record(actor=ana, action="team.renamed", obj=team)
    finally:
        current.reset(token)
    assert (event.request_id, event.ip, event.via) == ("req_1", "10.0.0.1", "api")
    assert (event.actor_label, event.token_prefix) == (ana.email, ana.auth_token.prefix)
    assert audit_record(actor=SYSTEM, action="team.renamed", obj=team).via == "system"


def test_the_kind_of_thing_does_not_depend_on_the_readers_language(ana, team):
    with translation.override("zh-hans"):
        event = audit_record(actor=ana, action="team.renamed", obj=team)
    assert event.object_type == "team"


def test_an_action_without_words_is_called_by_its_name(ana, team):
    event = audit_record(actor=ana, action="team.painted", obj=team)
    assert event.action_label == "team.painted"
    assert audit_record(actor=ana, action="team.renamed", obj=team).action_label == "Team renamed"


def test_an_action_is_found_by_the_words_of_the_readers_language(ana, team):
    audit_record(actor=ana, action="team.renamed", obj=team)
    with translation.override("zh-hans"):
        assert [row.action for row in event_list(actor=ana, query="重命名")] == ["team.renamed"]
    assert not event_list(actor=ana, query="重命名")


def test_a_rolled_back_change_leaves_no_event(ana, team):
    with pytest.raises(RuntimeError), transaction.atomic():
        audit_record(actor=ana, action="team.renamed", obj=team)
        raise RuntimeError
    assert not AuditEvent.objects.exists()


class TestVisibility:
    def test_teams_and_ones_own(self, ana, ben, cai, root, team):
        audit_record(actor=ana, action="team.renamed", obj=team)
        audit_record(actor=ana, action="user.updated", obj=ana)
        actions = {
            who.name: {event.action for event in event_list(actor=who)}
            for who in (ana, ben, cai, root)
        }
        assert actions == {
            "Ana": {"team.renamed", "user.updated"},
            "Ben": {"team.renamed"},
            "Cai": set(),
            "Root": {"team.renamed", "user.updated"},
        }

    def test_a_token_of_a_team_sees_that_team_only(self, ana, team):
        audit_record(actor=ana, action="user.updated", obj=ana)
        ana.auth_token = ApiTokenFactory(user=ana, team=team)
        assert not event_list(actor=ana).exists()


class TestApi:
    def test_filters(self, ana, team, api_for):
        for n in range(3):
            audit_record(
                actor=ana, action="team.renamed", obj=team, changes={"title": {"to": str(n)}}
            )
        audit_record(actor=SYSTEM, action="job.failed", obj=team)
        client = api_for(ana, "read")

        def found(query: str) -> int:
            return len(client.get(f"/api/v1/audit?{query}").json()["results"])

        assert found("") == 4
        assert found("action=team.") == 3
        assert found("actor=slipway") == 1
        assert found("query=ANA") == 3
        assert found("query=team renamed") == 3
        assert found(f"object_type=team&object_id={team.pk}&team=research") == 4
        assert found("until=2001-01-01") == 0
        assert found("since=2001-01-01T00:00:00Z") == 4
        assert client.get("/api/v1/audit?since=soon").status_code == 422
        assert client.get("/api/v1/audit?since=2001-13-41").status_code == 422
        page = client.get("/api/v1/audit?page_size=2").json()
        assert len(page["results"]) == 2
        assert len(client.get(page["next"]).json()["results"]) == 2

    def test_nobody_writes(self, ana, api_for):
        assert api_for(ana).post("/api/v1/audit", {}).status_code == 405
